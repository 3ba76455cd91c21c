"""Pictures: what is wanted of a server that makes them (`ImageRequest`), what comes back, and who makes them
(`ImageServer`). Neutral, as the rest of this room."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct


class ImageRequest(Struct, frozen=True, kw_only=True):
    """A picture to be made, or changed."""

    prompt: str
    model: str | None = None
    """None: the server's own."""
    options: Mapping[str, Any] = {}
    """What else was asked for, under the names that the images API has for it."""
    pictures: Sequence[bytes] = ()
    """Those that are to be changed; none: a new one is made."""
    mask: bytes | None = None
    """Where to change the first of them."""


class ImageLook(Struct, frozen=True, kw_only=True):
    """What a picture is like, as far as is known."""

    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None


class PartialPicture(Struct, frozen=True, kw_only=True):
    """A picture that is not finished."""

    index: int
    data: str
    """base64"""
    look: ImageLook


class Picture(Struct, frozen=True, kw_only=True):
    """A finished picture."""

    data: str
    """base64"""
    look: ImageLook
    revised_prompt: str | None = None


class CachedTokens(Struct, frozen=True, kw_only=True):
    """Of the input, those that were read from a cache."""

    all: int = 0
    image_and_text: tuple[int, int] | None = None
    """None: not reported."""


class ImageTokens(Struct, frozen=True, kw_only=True):
    """What pictures took, as their server counts."""

    input_text: int = 0
    input_image: int = 0
    input: int = 0
    output_text: int = 0
    output_image: int = 0
    output: int = 0
    total: int = 0
    cached: CachedTokens | None = None
    """None: not known."""


class Pictures(Struct, frozen=True, kw_only=True):
    """All that came of a request."""

    pictures: Sequence[Picture]
    tokens: ImageTokens | None = None
    """None: the server does not count."""


class ImageFault(Exception):
    """Why there is no picture, in words for people; without keys."""

    def __init__(
        self,
        message: str,
        *,
        type: str = "image_generation_server_error",
        code: str | None = None,
        param: str | None = None,
        categories: Sequence[str] | None = None,
        stage: str = "unknown",
    ) -> None:
        """`categories`: what moderation has found; None: it was not moderation. `stage`: where."""
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param
        self.categories = categories
        self.stage = stage


class ImageServer(Protocol):
    """What makes pictures."""

    async def unknown(self, options: Sequence[str], *, edits: bool | None) -> Sequence[str]:
        """Those of the options that it does not take: when pictures are changed, when they are made, or
        (None) in either case."""
        ...

    def serves(self, model: str) -> bool:
        """Whether requests may name this model."""
        ...

    def make(self, request: ImageRequest) -> AsyncGenerator[PartialPicture | Pictures, None]:
        """The pictures, behind what came of them before, where the server shows that. Raises ImageFault."""
        ...
