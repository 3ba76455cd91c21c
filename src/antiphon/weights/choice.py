"""Which of many files is meant: by the name of a file, of a quantization, or by itself.

A large model is split over files `NAME-00001-of-00003.gguf`, which belong together; llama.cpp is given the
first of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_QUANT: Final = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|BF16|F16|F32|MXFP4\w*))$", re.IGNORECASE
)
_BESIDE: Final = ("mmproj", "imatrix")
"""Files of the same form that are no models by themselves."""
_USUAL: Final = "Q4_K_M"
"""What is meant when nothing is said: small, and hardly worse."""


class Unclear(Exception):
    """Not exactly one model is meant: `several` of `models` fit, or none does."""

    def __init__(self, models: Sequence["Parts"], several: bool) -> None:
        super().__init__(models)
        self.models = models
        self.several = several


class Parts(Struct, frozen=True):
    """A model: the names of its files, in order."""

    names: tuple[str, ...]
    count: int = 1
    """How many there should be."""

    @property
    def stem(self) -> str:
        """Its name without its ending."""
        part = _PART.fullmatch(self.names[0])
        return part["stem"] if part else self.names[0].rsplit(".", 1)[0]

    @property
    def quant(self) -> str:
        """The name of its quantization, when its file says it."""
        found = _QUANT.search(self.stem)
        return found[1] if found else ""

    @property
    def plain(self) -> str:
        """Its name without ending, folder and quantization."""
        return _base(self.stem.removesuffix(self.quant)).rstrip("-._")

    @property
    def is_complete(self) -> bool:
        return len(self.names) == self.count


def models(names: Iterable[str]) -> list[Parts]:
    """The models among files."""
    found: dict[str, Parts] = {}
    for name in sorted(names):
        if name.lower().endswith(".gguf") and not any(word in name.lower() for word in _BESIDE):
            part = _PART.fullmatch(name)
            key, count = (part["stem"], int(part["count"])) if part else (name, 1)
            before = found[key].names if key in found else ()
            found[key] = Parts((*before, name), count)
    return list(found.values())


def parts_of(name: str) -> tuple[str, ...]:
    """The names of all files of the model that this file belongs to."""
    part = _PART.fullmatch(name)
    if part is None:
        return (name,)
    count = int(part["count"])
    return tuple(f"{part['stem']}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))


def choose(names: Iterable[str], wanted: str) -> Parts:
    """The one model that is meant. Raises `Unclear`."""
    known = models(names)
    fitting = _by_file(known, wanted) if wanted.lower().endswith(".gguf") else _by_quant(known, wanted)
    if len(fitting) != 1:
        raise Unclear(fitting or known, bool(fitting))
    return fitting[0]


def _by_file(known: Sequence[Parts], wanted: str) -> Sequence[Parts]:
    exact = [model for model in known if wanted in model.names]
    return exact or [
        model for model in known if any(_base(name).lower() == _base(wanted).lower() for name in model.names)
    ]


def _by_quant(known: Sequence[Parts], wanted: str) -> Sequence[Parts]:
    if not wanted and len(known) == 1:
        return known
    asked = (wanted or _USUAL).lower()
    same = [model for model in known if model.quant.lower() == asked]
    if same or not wanted:
        return same or known
    # Names that we know no rule for: the word stands in the name, between two marks.
    word = re.compile(rf"(?:^|[-._/]){re.escape(asked)}(?:$|[-./])")
    return [model for model in known if word.search(model.stem.lower())]


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]
