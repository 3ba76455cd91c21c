"""What a search engine is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from msgspec import Struct


class EngineError(Exception):
    """An engine did not answer; the message says which, and why."""


class Location(Struct, frozen=True, kw_only=True):
    """Where who asks is, about."""

    country: str | None = None
    """Two letters (ISO 3166-1)."""
    city: str | None = None
    region: str | None = None
    timezone: str | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """What is looked for."""

    text: str
    most: int = 5
    """Results."""
    allowed: Sequence[str] = ()
    """Domains that may be found, with those below them; none named: all."""
    blocked: Sequence[str] = ()
    """Domains that may not."""
    location: Location = Location()


class Found(Struct, frozen=True, kw_only=True):
    """A page."""

    url: str
    title: str = ""
    text: str = ""
    """What the engine shows of it."""


class FoundImage(Struct, frozen=True, kw_only=True):
    """A picture on a page."""

    image_url: str
    thumbnail_url: str = ""
    website_url: str = ""
    caption: str = ""


class Engine(ABC):
    """A search engine."""

    name: str
    finds_images = True

    @abstractmethod
    async def pages(self, asked: Asked) -> Sequence[Found]:
        """Raises EngineError."""

    async def images(self, asked: Asked) -> Sequence[FoundImage]:
        """Raises EngineError."""
        raise EngineError(f"{self.name} does not look for images.")

    async def close(self) -> None:
        """Let go of connections."""
        return
