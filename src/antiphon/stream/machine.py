"""The state machine of a response: the only thing that writes events.

Theory of operation
-------------------
A response is an append-only log of events. This machine does no I/O and has no clock: it is told what
happens, in verbs (`message`, `text`, `close`, …), and answers with events, which `drain` hands over.
Everything that a client ever sees of a response is read from that log.

Four rules say what a log may be; `table.py` holds them as rows, and `step` looks them up:

1.  The response has a state. It is created, perhaps queued, runs, and ends exactly once: completed,
    incomplete, cancelled, or an `error` event followed by failed. Nothing is told after the end.
2.  Items are opened only while it runs, each at the next `output_index`. Every opened item has a state
    of its own, and its type's rows say which events may come in which order until it is closed.
3.  It cannot end while an item is open. `complete` in such a state is our bug and raises; the other
    ends close what is open first, as `incomplete`.
4.  Every event takes the next `sequence_number`, counted from 0, whatever it speaks of.

An event is a value: once told it never changes. So an item's deltas are gathered in its `OpenItem`, and
closing it makes the finished item, which `item.done` and the terminal response both carry. Nobody who
reads the log needs them: `fold.py` builds the same from the small events alone, and whoever runs the
machine may ask it to, at any time (`verify` in the configuration, always on in our tests).

An illegal verb raises `IllegalTransition` before anything is told: it is our bug, never the client's or
the model's. The model's faults are the engine's to catch; it ends the response with `fail`.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.events import Event, ResponseEvent
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.response import IncompleteDetails, Response, ResponseError, Status, Usage
from antiphon.stream import table
from antiphon.stream.table import IllegalTransition, State

IncompleteReason = Literal["max_output_tokens", "content_filter", "max_messages", "steered"]
ItemStatus = Literal["completed", "incomplete"]

TIER = "default"
"""The service tier that every response ends with: there is only one (behaviours.md section 1.7)."""

Opened = TypeVar("Opened", bound="OpenItem")


class Machine:
    """The log of one response, being written.

    `new_id` makes an id for an item of a given type.
    """

    def __init__(self, response: Response, new_id: Callable[[str], str]) -> None:
        self.new_id = new_id
        self._response = response
        self._state: State = table.NEW
        self._next = 0
        self._told: list[Event] = []
        self._slots: list[Item | None] = []
        self._open: list[OpenItem] = []
        self._speaks = False

    @classmethod
    def resumed(
        cls,
        response: Response,
        new_id: Callable[[str], str],
        state: State,
        sequence_number: int,
        items: Sequence[Item | None],
        *,
        speaks: bool = False,
    ) -> "Machine":
        """A machine that goes on where another stopped; `resume.py` knows where that was. An item that was
        open is None until `resume.py` closes it."""
        machine = cls(response, new_id)
        machine._state = state
        machine._next = sequence_number
        machine._slots = list(items)
        machine._speaks = speaks
        return machine

    @property
    def id(self) -> str:
        return self._response.id

    @property
    def ended(self) -> bool:
        return self._state == table.ENDED

    def snapshot(self) -> Response:
        """The response as it stands, with the items that are finished."""
        return replace(self._response, output=[item for item in self._slots if item is not None])

    def drain(self) -> list[Event]:
        """The events told since the last call."""
        told, self._told = self._told, []
        return told

    # ---- the response's own life ----

    def create(self) -> None:
        """Tell `created`, and `queued` when the response waits for its turn."""
        self._announce(events.Created)
        if self._response.status == "queued":
            self._announce(events.Queued)

    def start(self) -> None:
        """Tell that it runs, or that it goes on."""
        self._step("response.in_progress")
        self._response.status = "in_progress"
        self.emit(events.InProgress(response=replace(self._response)))

    def complete(self, usage: Usage | None, now: int) -> None:
        """End well. Every item must be closed. `now`: seconds since the epoch."""
        self._response.completed_at = now
        self._end(events.Completed, "completed", usage)

    def incomplete(self, reason: IncompleteReason, usage: Usage | None) -> None:
        """End early, because of a limit. What is open is closed as incomplete."""
        self._abandon()
        self._response.incomplete_details = IncompleteDetails(reason=reason)
        self._end(events.Incomplete, "incomplete", usage)

    def cancel(self, usage: Usage | None = None) -> None:
        """End because somebody asked for it. What is open is closed as incomplete."""
        self._abandon()
        self._end(events.Cancelled, "cancelled", usage)

    def fail(self, error: ResponseError, usage: Usage | None = None, kind: str = "server_error") -> None:
        """End badly: an `error` event, whose `type` is `kind`, then failed."""
        self._abandon()
        self._step("error")
        detail = events.ErrorDetail(type=kind, code=error.code, message=error.message, param=None)
        self.emit(events.Error(error=detail, code=error.code, message=error.message, param=None))
        self._response.error = error
        self._end(events.Failed, "failed", usage)

    def speak(self, data: str, transcript: str = "") -> None:
        """Tell a piece of sound (base64), and the words in it."""
        self._speaks = True
        if data:
            self._step("response.audio.delta")
            self.emit(events.AudioDelta(delta=data))
        if transcript:
            self._step("response.audio.transcript.delta")
            self.emit(events.TranscriptDelta(delta=transcript))

    # ---- items ----

    def open(self, kind: type[Opened], item: Item) -> Opened:
        """Add an item to the output, and give the handle that tells the rest of it."""
        self._step("response.output_item.added")
        handle = kind(self, item, len(self._slots))
        self._slots.append(None)
        self._open.append(handle)
        self.emit(events.ItemAdded(output_index=handle.output_index, item=item))
        return handle

    def add(self, item: Item) -> None:
        """Add an item that is finished as it comes, such as an approval request."""
        self.open(OpenItem, item).finish(item)

    def emit(self, event: Event) -> None:
        """Append an event, whose place in the order has been checked."""
        event.sequence_number = self._next
        self._next += 1
        self._told.append(event)

    def close_at(self, output_index: int, item: Item) -> None:
        """Tell that the item at this place is done, and what it became."""
        self._slots[output_index] = item
        self.emit(events.ItemDone(output_index=output_index, item=item))

    def _close(self, handle: "OpenItem", item: Item) -> None:
        self._open.remove(handle)
        self.close_at(handle.output_index, item)

    def _abandon(self) -> None:
        for item in tuple(self._open):
            item.close("incomplete")

    def _step(self, event: str) -> None:
        self._state = table.step(table.RESPONSE, self._state, event)

    def _announce(self, kind: type[ResponseEvent]) -> None:
        self._step(events.event_type(kind))
        self.emit(kind(response=replace(self._response)))

    def _end(self, kind: type[ResponseEvent], status: Status, usage: Usage | None) -> None:
        if self._open:
            raise IllegalTransition(f"{status} may not be told while items are open")
        if self._speaks and self._state == table.RUNNING:
            self._step("response.audio.done")
            self.emit(events.AudioDone())
            self._step("response.audio.transcript.done")
            self.emit(events.TranscriptDone())
        self._response.status = status
        self._response.service_tier = TIER
        self._response.usage = usage
        self._response.output = list(self._slots)
        self._announce(kind)


class OpenItem:
    """An item of the output that is still being told. Subclasses know the verbs of their type."""

    def __init__(self, machine: Machine, item: Item, output_index: int) -> None:
        self.machine = machine
        self.item = item
        self.item_id = item.id or ""
        self.output_index = output_index
        self._rows = table.rows_of(item_type(item))
        self._state: State = table.OPEN

    def step(self, event: str) -> None:
        """Enter the state that follows the event. Raises IllegalTransition."""
        try:
            self._state = self._rows[self._state, event]
        except KeyError:
            raise IllegalTransition(f"{event} may not be told in state {self._state}") from None

    def close(self, status: ItemStatus = "completed") -> None:
        """Tell what is still to be told, then that the item is done."""
        self.finish(self.item)

    def finish(self, item: Item) -> None:
        """Tell that the item is done, and what it became."""
        self.step("response.output_item.done")
        self.machine._close(self, item)
