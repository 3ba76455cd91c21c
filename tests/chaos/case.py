"""What clients were told, as it came over the wire: the evidence that the verdict is found on."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from tests.chaos.plan import Plan

Json = dict[str, Any]

TERMINAL_STATUS = frozenset({"completed", "incomplete", "failed", "cancelled"})
TERMINAL_EVENTS = frozenset(f"response.{status}" for status in TERMINAL_STATUS)


class NotAFrame(Exception):
    """Bytes that are no event."""


@dataclass(frozen=True)
class Frame:
    """One event: its bytes, and what they say."""

    data: bytes

    @cached_property
    def event(self) -> Json:
        head, _, data = self.data.partition(b"\n")
        try:
            event: Json = msgspec.json.decode(data.removeprefix(b"data: "), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise NotAFrame(f"Not an event: {self.data[:200]!r}") from error
        if head != b"event: %b" % str(event.get("type")).encode() or "sequence_number" not in event:
            raise NotAFrame(f"Not an event: {self.data[:200]!r}")
        return event

    @property
    def number(self) -> int:
        return int(self.event["sequence_number"])

    @property
    def kind(self) -> str:
        return str(self.event["type"])


@dataclass
class Told:
    """What one reader was told, over all its connections."""

    first: int = 0
    """The number of the event that it asked for first."""
    frames: list[Frame] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.frames[-1].number + 1 if self.frames else self.first

    @property
    def ended(self) -> bool:
        return bool(self.frames) and self.frames[-1].kind in TERMINAL_EVENTS

    @property
    def failed(self) -> bool:
        """Whether it was told instead that the server's storage is away."""
        return bool(self.frames) and self.frames[-1].event.get("code") == "storage_unavailable"


@dataclass
class Case:
    """One response, and everything that anybody was told of it."""

    kind: str
    plan: Plan
    id: str
    turn: int = 1
    background: bool = True
    excused: bool = False
    """Whether the server died meanwhile, which a response in the foreground need not survive."""
    streamed: bool = False
    """Whether it has a log that can be fetched."""
    readers: list[Told] = field(default_factory=list)
    parsed: list[tuple[int, str]] = field(default_factory=list)
    """Numbers and types of the events that the official client gave."""
    polls: list[bytes] = field(default_factory=list)
    """What POST and GET returned while it was under way."""
    cancels: list[bytes] = field(default_factory=list)
    """What the cancellations returned."""
    progress: int = -1
    """The number of the last `in_progress` that a reader was told."""
    launch: float = 0.0
    """Which start of the server it was last seen in progress under."""

    # Fetched when everything has settled.
    final: bytes | None = None
    again: bytes | None = None
    log: list[Frame] = field(default_factory=list)
    input_items: list[Json] = field(default_factory=list)

    @property
    def response(self) -> Json:
        """What GET returns in the end; empty when there is no such response."""
        found: Json = msgspec.json.decode(self.final) if self.final else {}
        return found

    @property
    def takeovers(self) -> int:
        """How often another process went on with it."""
        return max(0, sum(frame.kind == "response.in_progress" for frame in self.log) - 1)

    def dump(self) -> Json:
        """Everything, for a person to read."""
        return {
            "id": self.id,
            "kind": self.kind,
            "plan": self.plan.prompt(),
            "turn": self.turn,
            "final": self.response,
            "log": [frame.data.decode() for frame in self.log],
            "readers": [
                {"first": told.first, "frames": [frame.data.decode() for frame in told.frames]}
                for told in self.readers
            ],
            "parsed": self.parsed,
            "polls": [poll.decode() for poll in self.polls],
            "cancels": [cancel.decode() for cancel in self.cancels],
        }
