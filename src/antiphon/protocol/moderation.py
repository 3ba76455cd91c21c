"""Moderation on the wire: POST /moderations, and `Response.moderation`."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import asdict

from antiphon.protocol.wire import Wire

MOST_INPUTS = 256

CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
ON_IMAGES: Final = frozenset(
    {
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "violence",
        "violence/graphic",
    }
)
"""The categories that images can be judged by; all can be applied to texts."""

InputKind = Literal["text", "image"]


def applied(kinds: Sequence[InputKind], names: Iterable[str] = CATEGORIES) -> dict[str, list[InputKind]]:
    """To which of these kinds each of the thirteen categories is applied, and to which those of `names`."""
    texts: list[InputKind] = [kind for kind in kinds if kind == "text"]
    return {name: list(kinds) if name in ON_IMAGES else texts for name in (*CATEGORIES, *names)}


class Verdict(Wire, kw_only=True):
    """What a text or an image was found to be. The thirteen categories are always there; a judge with
    categories of its own adds them under its own names."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    """From 0 to 1. Judges that say only yes or no have nothing in between."""
    category_applied_input_types: dict[str, list[InputKind]]
    """What each score is about."""

    @classmethod
    def clean(cls) -> "Verdict":
        """Of nothing at all."""
        return cls(
            flagged=False,
            categories=dict.fromkeys(CATEGORIES, False),
            category_scores=dict.fromkeys(CATEGORIES, 0.0),
            category_applied_input_types=applied(()),
        )

    def plus(self, other: "Verdict") -> "Verdict":
        """The verdict on both together: by each category, the worse one."""
        names = dict.fromkeys((*self.categories, *other.categories))
        mine, others = self.category_applied_input_types, other.category_applied_input_types
        return Verdict(
            flagged=self.flagged or other.flagged,
            categories={
                name: self.categories.get(name, False) or other.categories.get(name, False) for name in names
            },
            category_scores={
                name: max(self.category_scores.get(name, 0.0), other.category_scores.get(name, 0.0))
                for name in names
            },
            category_applied_input_types={
                name: list(dict.fromkeys((*mine.get(name, ()), *others.get(name, ())))) for name in names
            },
        )

    @property
    def about_images_alone(self) -> bool:
        """Whether it is for images, and for no text, that it is flagged."""
        kinds = [
            self.category_applied_input_types.get(name) for name, is_so in self.categories.items() if is_so
        ]
        return bool(kinds) and all(kind == ["image"] for kind in kinds)


# ---- of a response ----------------------------------------------------------------------------------


class ModerationResult(Verdict, tag="moderation_result", tag_field="type", kw_only=True):
    """What the input or the output of a response was found to be."""

    model: str
    """Who judged."""

    @classmethod
    def of(cls, model: str, verdict: Verdict) -> "ModerationResult":
        return cls(model=model, **asdict(verdict))


class ModerationError(Wire, tag="error", tag_field="type"):
    """Why it was not judged."""

    code: str
    message: str


Moderated = ModerationResult | ModerationError


class ResponseModeration(Wire):
    """What became of a response's `moderation`."""

    input: Moderated
    output: Moderated


# ---- POST /moderations ------------------------------------------------------------------------------


class ImageUrl(Wire):
    url: str
    """`https:` or `data:`."""


class TextToJudge(Wire, tag="text", tag_field="type"):
    text: str


class ImageToJudge(Wire, tag="image_url", tag_field="type"):
    image_url: ImageUrl


class ModerationsRequest(Wire):
    """The body of POST /moderations: one text, several, or one list of parts that are judged together."""

    input: str | Annotated[list[str | TextToJudge | ImageToJudge], Meta(min_length=1, max_length=MOST_INPUTS)]
    model: str | None = None
