"""Requests that go to the server behind a backend in its own API, and answers that come back as they are."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

Members = dict[str, msgspec.Raw]
"""The members of a JSON object, none of them decoded."""

Endpoint = Literal["chat/completions", "completions", "embeddings"]
"""A path below `/v1`."""


class Passed(Struct, frozen=True):
    """A request as its client wrote it, but for the model's name."""

    endpoint: Endpoint
    model: str
    """As the upstream calls it, which is what `members` have."""
    members: Members
    size: int
    """Bytes of its body."""
    tier: str | None = None
    """The `service_tier` it must ask for where it names none and its server has tiers; None: the usual."""


class Answer(Protocol):
    """What the upstream answers, from its first bytes on."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Those that concern the client; their names in small letters."""
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises `errors.UpstreamError` when it breaks off."""
        ...


class Passthrough(Protocol):
    """The endpoints that a backend's server has beside those that the backend uses."""

    def answered(self, request: Passed) -> AbstractAsyncContextManager[Answer]:
        """Leaving the block ends the upstream's work. Raises ApiError when there is no answer to hand on."""
        ...

    def bounded(self, most: int) -> "Passthrough":
        """The same, where an answer of which no request says how long it may be has `most` tokens."""
        ...
