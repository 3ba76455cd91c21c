"""What a run is to do. It stands in the user's message, where the upstream reads it: so nobody who takes part
has a memory that a crash could spoil, and the verdict knows what must have come of it."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

_WORDS = (
    "log",
    "naïve",
    "event",
    "日本語",
    "\n",
    "resume",
    "🙂",
    "store",
    '"quoted"',
    "ends",
    "Straße",
    "a\\b",
)
_PLAN = re.compile(r"calls=(\d+) words=(\d+) pace=(\d+) seed=(\d+)")


@dataclass(frozen=True)
class Plan:
    calls: int
    """How many calls of the tool, each with a key of its own."""
    words: int
    """Length of the final text."""
    pace: int
    """Milliseconds between two deltas, in the mean."""
    seed: int
    """Decides everything else; no two requests have the same."""

    @classmethod
    def drawn(cls, random: Random, seed: int) -> "Plan":
        return cls(random.choice((0, 1, 1, 2, 3)), random.randint(10, 100), random.randint(5, 30), seed)

    @classmethod
    def read(cls, text: str) -> "Plan | None":
        found = _PLAN.search(text)
        return cls(*map(int, found.groups())) if found else None

    def prompt(self) -> str:
        return f"calls={self.calls} words={self.words} pace={self.pace} seed={self.seed}"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f"{self.seed}.{number}" for number in range(self.calls))

    @property
    def rounds(self) -> Sequence[tuple[str, ...]]:
        """The keys, as the model asks for them: one after another, or two at once."""
        if self.calls > 1 and self.seed % 2:
            return [self.keys[:2], *((key,) for key in self.keys[2:])]
        return [(key,) for key in self.keys]

    @property
    def thinks(self) -> bool:
        """Whether the model reasons before it speaks."""
        return self.seed % 3 == 0

    @property
    def announces(self) -> bool:
        """Whether the model says something before it calls."""
        return self.seed % 5 < 2

    def text(self, turn: int) -> str:
        """What the model says in the end. The turn's number shows that it was given all turns."""
        random = Random(self.seed)
        return f"Turn {turn}: " + " ".join(random.choice(_WORDS) for _ in range(self.words)) + "."


def result_of(key: str) -> str:
    """What the tool answers."""
    return f"recorded {key}"


def insists(key: str, times: int) -> bool:
    """Whether the model makes a call again of which it is not known, for so many times already, if it took
    effect."""
    return zlib.crc32(f"{key} {times}".encode()) % 2 == 0
