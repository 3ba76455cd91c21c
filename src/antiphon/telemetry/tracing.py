"""Spans: what takes time, and whose work it is part of. Knows nothing of responses.

What is under way is found in `CURRENT`, and what begins meanwhile is part of it. Unless the configuration
says where spans go there is never anything in it, and no library for them is imported.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Literal, Protocol, Self

from msgspec import Struct

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]
Kind = Literal["server", "client", "internal"]
"""Whether it answers a request of another program, waits for one of ours, or is neither."""

HEADERS = frozenset({b"traceparent", b"tracestate"})
"""By which a request says what it is part of (W3C Trace Context)."""


class KeptSpan(Struct, frozen=True, omit_defaults=True):
    """A span that whichever process gets to its end may end. It is stored: names on the disk are for good."""

    trace_id: str
    span_id: str
    began: int
    """Nanoseconds since the epoch."""
    parent: dict[str, str] = {}
    """`HEADERS` of what it is part of."""


class Span(Protocol):
    """Something that is under way. As a context manager it is `CURRENT` as long as the block lasts, and ends
    with it."""

    began: float
    """Seconds since the epoch."""

    @property
    def content(self) -> bool:
        """Whether it may be told what was said."""

    @property
    def headers(self) -> Mapping[str, str]:
        """`HEADERS` for requests that are part of it."""

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> "Span":
        """Something that is part of it."""

    def begin_kept(self) -> KeptSpan:
        """The same, to be gone on with later (`Tracer.resume`)."""

    def belong(self, project: str, *, stored: bool) -> None:
        """Whose it is. Neither it nor what is part of it is told what is said where that is not `stored`, or
        the project is a silent one."""

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, error: str) -> None:
        """It did not go well. `error` is one of a few words: a code, or the class of an exception."""

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        """A value for one of `histograms`, with attributes beside those of the span."""

    def leave(self) -> None:
        """Not to be ended with the block: it is ended later, or by another process that goes on with it."""

    def end(self, ago: float = 0.0) -> None:
        """It ended so many seconds ago."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Where spans go."""

    def incoming(self, headers: Mapping[str, str]) -> Span:
        """What a request with these headers is part of, as it says itself. Nothing is told of it here."""

    def resume(self, name: str, kind: Kind, kept: KeptSpan | None) -> Span:
        """A span that was begun before; None: one that is part of nothing."""

    async def close(self) -> None:
        """Hand over what is still here, within a moment."""


CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
OFF: nullcontext[None] = nullcontext()
"""In the place of a span where nothing is told."""


def passed_on() -> Mapping[str, str]:
    """`HEADERS` for a request to a server that works for us."""
    span = CURRENT.get()
    return {} if span is None else span.headers
