"""The state machine of a response: the only thing that writes events.

Theory of operation
-------------------
A response is an append-only log of events. This machine does no I/O and has no clock: it hears what
happens, in verbs (`message`, `text`, `close`, …), and answers with events, which `drain` hands over.
Everything that a client ever sees of a response is read from that log.

Four rules say what a log may be; `table.py` and `kinds.py` hold them as rows:

1.  The response has a state. It is created, perhaps queued, runs, and ends exactly once: completed,
    incomplete, cancelled, or an `error` event followed by failed. Nothing follows the end.
2.  Items are opened only while it runs, each at the next `output_index`. Every opened item has a state
    of its own, and its kind's rows say which events may come in which order until it is closed.
3.  It cannot end while an item is open. `complete` in such a state is our bug and raises; the other
    ends close what is open first, as its kind says of an item that was cut.
4.  Every event takes the next `sequence_number`, counted from 0, whatever it speaks of.

There is no way to add an event but through a row: the verbs of the machine step the response, and
`OpenItem.emit` steps the item by the class of the event. An illegal event raises `IllegalTransition` and
leaves no trace: it is our bug, never the client's or the model's. The model's faults are the engine's to
catch; it ends the response with `fail`.

An event is a value: once emitted it never changes, nor does the response that it may carry. So an item's
deltas are gathered in its `OpenItem`, and closing it makes the finished item, which `item.done` and the
terminal response both carry. Nobody who reads the log needs them: `fold.py` builds the same from the small
events alone, and whoever runs the machine may ask it to, at any time (`verify` in the configuration, always
on in our tests).
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.delta_runs import DeltaRun, Emitted
from antiphon.protocol.events import Event, ResponseEvent
from antiphon.protocol.item import AgentName, Item
from antiphon.protocol.moderation import ResponseModeration
from antiphon.protocol.response import ImageUsage, IncompleteDetails, Response, ResponseError, Status, Usage
from antiphon.stream import table
from antiphon.stream.kinds import Key, kind_of
from antiphon.stream.table import IllegalTransition, State
from antiphon.stream.tool_usage import tool_usage

IncompleteReason = Literal["max_output_tokens", "content_filter", "max_messages", "steered"]

TIER = "default"
"""The service tier with which responses end, unless another one acts (behaviours.md section 1.7)."""

_ENDED = "The response ended"
"""Why an item that was open at an early end is not finished."""

_INTERRUPTED = "The agent was interrupted"

_PART_ADDED = events.PartAdded
Opened = TypeVar("Opened", bound="OpenItem")


SPEAKER: ContextVar[str | None] = ContextVar("speaker", default=None)
"""The agent in whose name items are added, where a response has several. Each has a context of its own."""


class Machine:
    """The log of one response, being written.

    `new_id` makes an id for an item of a given type.
    """

    def __init__(self, response: Response, new_id: Callable[[str], str]) -> None:
        self.new_id = new_id
        self.image_usage: ImageUsage | None = None
        """What the pictures took that were made, as their server counts."""
        self.tier = TIER
        """The service tier that the response ends with."""
        self.watch: Callable[[int, Item], None] | None = None
        """Called with each item, and its place, when it is added and again when it is done."""
        self._response = response
        self._state: State = table.NEW
        self._next = 0
        self._events: list[Emitted] = []
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
        open is None until it is reopened and closed. What has ended holds all of them, whatever `response`
        does."""
        machine = cls(response if state != table.ENDED else replace(response, output=list(items)), new_id)
        machine._state = state
        machine._next = sequence_number
        machine._slots = list(items)
        machine._speaks = speaks
        return machine

    @property
    def id(self) -> str:
        return self._response.id

    @property
    def created(self) -> bool:
        """Whether its log has begun."""
        return self._state != table.NEW

    @property
    def ended(self) -> bool:
        return self._state == table.ENDED

    def snapshot(self) -> Response:
        """The response as it stands, with the items that are finished."""
        if self.ended:
            return self._response
        return replace(self._response, output=[item for item in self._slots if item is not None])

    def item(self, opened: "OpenItem") -> Item:
        """The item as it was finished; as it was added when it is not."""
        return self._slots[opened.output_index] or opened.item

    @property
    def next_number(self) -> int:
        """The number of the event that comes next."""
        return self._next

    def standing(self) -> list[tuple[Item, str | None]]:
        """The items by their places, with what those that are not finished say so far; None: it is."""
        said = {opened.output_index: opened for opened in self._open}
        return [
            (slot, None) if slot is not None else (said[index].item, said[index].said)
            for index, slot in enumerate(self._slots)
            if slot is not None or index in said
        ]

    def drain(self) -> list[Emitted]:
        """The events since the last call, deltas in runs as they were emitted."""
        events, self._events = self._events, []
        return events

    # ---- the response's own life ----

    def create(self) -> None:
        """It is there: `created`, and `queued` when the response waits for its turn."""
        self._emit(events.Created(response=self._response))
        if self._response.status == "queued":
            self._emit(events.Queued(response=self._response))

    def start(self) -> None:
        """It runs, or goes on."""
        running = self._response
        if running.status != "in_progress":
            running = replace(running, status="in_progress")
        self._emit(events.InProgress(response=running))
        self._response = running

    def complete(self, usage: Usage | None, now: int) -> None:
        """End well. Every item must be closed. `now`: seconds since the epoch."""
        self._end(events.Completed, "completed", usage, completed_at=now)

    def incomplete(self, reason: IncompleteReason, usage: Usage | None) -> None:
        """End early, because of a limit. What is open is cut."""
        self.abandon()
        self._end(events.Incomplete, "incomplete", usage, incomplete_details=IncompleteDetails(reason=reason))

    def cancel(self, usage: Usage | None = None) -> None:
        """End because somebody asked for it. What is open is cut."""
        self.abandon()
        self._end(events.Cancelled, "cancelled", usage)

    def fail(self, error: ResponseError, usage: Usage | None = None, kind: str = "server_error") -> None:
        """End badly: an `error` event, whose `type` is `kind`, then failed."""
        self.abandon()
        detail = events.ErrorDetail(type=kind, code=error.code, message=error.message, param=None)
        self._emit(events.Error(error=detail, code=error.code, message=error.message, param=None))
        self._end(events.Failed, "failed", usage, error=error)

    def steer(self, event: events.SteerEvent) -> None:
        """Something was said to it."""
        self._emit(event)

    def moderated(self, found: ResponseModeration) -> None:
        """What the end will say of the moderation."""
        self._response = replace(self._response, moderation=found)

    def speak(self, data: str, transcript: str = "") -> None:
        """A piece of sound (base64), and the words in it."""
        self._speaks = True
        if data:
            self._emit(events.AudioDelta(delta=data))
        if transcript:
            self._emit(events.TranscriptDelta(delta=transcript))

    def count_images(self, usage: ImageUsage) -> None:
        """Pictures were made."""
        self.image_usage = usage.plus(self.image_usage)

    # ---- items ----

    @property
    def items(self) -> Sequence[Item | None]:
        """The items so far; None: one that is not finished."""
        return self._slots

    def open(self, kind: type[Opened], item: Item) -> Opened:
        """Add an item to the output, and give the handle by which the rest of its events are emitted."""
        speaker = SPEAKER.get()
        if speaker is not None and item.agent is None:
            item = replace(item, agent=AgentName(speaker))
        handle = kind(self, item, len(self._slots))
        self._emit(events.ItemAdded(output_index=handle.output_index, item=item))
        self._slots.append(None)
        self._open.append(handle)
        if self.watch is not None:
            self.watch(handle.output_index, item)
        return handle

    def add(self, item: Item) -> None:
        """Add an item that is finished as it comes, such as an approval request."""
        self.open(OpenItem, item).finish(item)

    def reopen(self, output_index: int, item: Item, state: State) -> "OpenItem":
        """The handle of an item that another machine left in a state of its kind's."""
        handle = OpenItem(self, item, output_index, state)
        self._open.append(handle)
        return handle

    def _emit(self, event: Event) -> None:
        """Append an event of the response. Raises IllegalTransition."""
        self._state = table.step(table.RESPONSE, self._state, events.event_type(type(event)))
        event.sequence_number = self._next
        self._next += 1
        self._events.append(event)

    def _close(self, handle: "OpenItem", item: Item) -> None:
        """An item is done."""
        self._open.remove(handle)
        self._slots[handle.output_index] = item
        if self.watch is not None:
            self.watch(handle.output_index, item)

    def abandon(self) -> None:
        """Cut what is open."""
        for item in tuple(self._open):
            item.cut(_ENDED)

    def abandon_of(self, agent: str) -> None:
        """Cut what an agent has open."""
        for item in tuple(self._open):
            if item.item.agent == AgentName(agent):
                item.cut(_INTERRUPTED)

    def _end(self, kind: type[ResponseEvent], status: Status, usage: Usage | None, **members: Any) -> None:
        if self._open:
            raise IllegalTransition(f"{status} may not come while items are open")
        if self._speaks and self._state == table.RUNNING:
            self._emit(events.AudioDone())
            self._emit(events.TranscriptDone())
        ended = replace(
            self._response,
            **members,
            status=status,
            usage=usage,
            tool_usage=tool_usage(self._slots, self.image_usage),
            service_tier=self.tier,
            output=list(self._slots),
        )
        self._emit(kind(response=ended))
        self._response = ended


class OpenItem:
    """An item of the output that is not finished. Subclasses know the verbs of their type."""

    def __init__(self, machine: Machine, item: Item, output_index: int, state: State = table.OPEN) -> None:
        self._machine = machine
        self.item = item
        """As it was added."""
        self.item_id = item.id or ""
        self.output_index = output_index
        self.kind = kind_of(item)
        self._moves = self.kind.moves
        self._state = state

    @property
    def place(self) -> dict[str, Any]:
        """Where it stands, as its events say."""
        return {"item_id": self.item_id, "output_index": self.output_index}

    @property
    def said(self) -> str:
        """The text of it so far."""
        return ""

    @property
    def is_open(self) -> bool:
        return self._state != table.CLOSED

    @property
    def may_close(self) -> bool:
        return (self._state, events.ItemDone) in self._moves

    def emit(self, event: Event) -> None:
        """Append an event of the item. Raises IllegalTransition."""
        key: Key = type(event)
        if key is _PART_ADDED:
            key = (_PART_ADDED, event.part.__struct_config__.tag)  # type: ignore[attr-defined]
        try:
            self._state = self._moves[self._state, key]
        except KeyError:
            raise _illegal(key, self._state) from None
        machine = self._machine  # as in `Machine._emit`; every delta would have to call what is the same
        event.sequence_number = machine._next
        machine._next += 1
        machine._events.append(event)

    def emit_run(self, run: DeltaRun) -> None:
        """Append deltas. Raises IllegalTransition."""
        state, kind, count = self._state, run.place.kind, len(run.pieces)
        try:
            state = self._moves[state, kind]
            if count > 1:  # a row that leads back to its state may be stepped any number of times
                state = self._moves[state, kind]
        except KeyError:
            raise _illegal(kind, state) from None
        self._state = state
        machine = self._machine
        run.sequence_number = machine._next
        machine._next += count
        machine._events.append(run)

    def close(self) -> None:
        """Emit what is still to come, then that the item is done."""
        self.settle()
        item = self.built()
        self.finish(replace(item, status="completed") if self.kind.has_status else item)

    def cut(self, why: str) -> None:
        """Nobody will finish it: close it as its kind says. `why`: the beginning of a sentence."""
        self.settle()
        self.finish(replace(self.built(), **self.kind.cut(why)))

    def finish(self, item: Item) -> None:
        """It is done, and became this. Raises IllegalTransition."""
        if item.agent is None and self.item.agent is not None:
            item = replace(item, agent=self.item.agent)
        OpenItem.emit(self, events.ItemDone(output_index=self.output_index, item=item))
        self._machine._close(self, item)

    def settle(self) -> None:
        """Emit what must come before it may be closed."""

    def built(self) -> Item:
        """The item with what its events have built."""
        return self.item


def _illegal(key: Key, state: State) -> IllegalTransition:
    kind, part = key if isinstance(key, tuple) else (key, "")
    return IllegalTransition(f"{events.event_type(kind)}{part and ':'}{part} may not come in state {state}")
