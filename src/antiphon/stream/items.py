"""The items that a model itself writes, as they are told: messages, reasoning, function calls.

Messages and reasoning consist of parts, and the parts of every kind are told alike: added, deltas, the
whole, done. A `PartKind` names the events of a kind; `OpenParts` tells them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.client_items import FunctionCall
from antiphon.protocol.content import (
    Annotation,
    Logprob,
    OutputText,
    Part,
    ReasoningText,
    Refusal,
    SummaryText,
)
from antiphon.protocol.events import Event, event_type
from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, Compaction, Reasoning
from antiphon.stream.machine import ItemStatus, Machine, OpenItem


class Told(NamedTuple):
    """An event of a part: its row in the table, and what makes it."""

    row: str
    event: Callable[..., Event]


class PartKind(NamedTuple):
    """How parts of a kind are told, and what they become."""

    part: Callable[..., Any]
    member: str
    """The member of the part, and of the event `whole`, that holds the text."""
    counter: str
    """The member of each event that counts the parts of the item."""
    added: Told
    delta: Told
    whole: Told
    done: Told


def _told(kind: type[Event]) -> Told:
    return Told(event_type(kind), kind)


def _content(part: type[Part], member: str, delta: type[Event], whole: type[Event]) -> PartKind:
    added = Told(f"{event_type(events.PartAdded)}:{part.__struct_config__.tag}", events.PartAdded)
    return PartKind(part, member, "content_index", added, _told(delta), _told(whole), _told(events.PartDone))


TEXT = _content(OutputText, "text", events.TextDelta, events.TextDone)
REFUSAL = _content(Refusal, "refusal", events.RefusalDelta, events.RefusalDone)
REASONING = _content(ReasoningText, "text", events.ReasoningTextDelta, events.ReasoningTextDone)
SUMMARY = PartKind(
    SummaryText,
    "text",
    "summary_index",
    _told(events.SummaryPartAdded),
    _told(events.SummaryTextDelta),
    _told(events.SummaryTextDone),
    _told(events.SummaryPartDone),
)
_ANNOTATION = _told(events.AnnotationAdded)


class OpenParts(OpenItem):
    """An item made of parts. A new kind of content closes the part before it."""

    def __init__(self, machine: Machine, item: Item, output_index: int) -> None:
        super().__init__(machine, item, output_index)
        self._kind: PartKind | None = None
        self._place: dict[str, Any] = {}
        self._delta: Callable[..., Event] = events.TextDelta
        """Makes the deltas of the part that is being told."""
        self._text: list[str] = []
        self._extra: dict[str, list[Any]] = {}
        """What the part and its events carry besides text."""
        self._parts: dict[str, list[Any]] = {"content_index": [], "summary_index": []}

    def gather(self, kind: PartKind, delta: str, **members: Any) -> None:
        """Tell a piece of a part of the given kind."""
        if self._kind is not kind:
            self.begin(kind)
        self._text.append(delta)
        self.step(kind.delta.row)
        self.machine.emit(self._delta(delta=delta, **members))

    def begin(self, kind: PartKind) -> None:
        """End the part before, and begin one of the given kind."""
        self.end()
        self._kind = kind
        self._place = {
            "item_id": self.item_id,
            "output_index": self.output_index,
            kind.counter: len(self._parts[kind.counter]),
        }
        self._delta = partial(kind.delta.event, **self._place)
        self._tell(kind.added, part=kind.part(**{kind.member: ""}))

    def end(self) -> None:
        """End the part that is being told, if there is one."""
        kind = self._kind
        if kind is None:
            return
        text = "".join(self._text)
        part = kind.part(**{kind.member: text}, **self._extra)
        logprobs = {"logprobs": self._extra["logprobs"]} if kind is TEXT else {}
        self._tell(kind.whole, **{kind.member: text}, **logprobs)
        self._tell(kind.done, part=part)
        self._parts[kind.counter].append(part)
        self._kind, self._text, self._extra = None, [], {}

    def _tell(self, told: Told, **members: Any) -> None:
        self.step(told.row)
        self.machine.emit(told.event(**self._place, **members))


class OpenMessage(OpenParts):
    """An assistant message."""

    def text(self, delta: str, logprobs: Sequence[Logprob] = ()) -> None:
        """Visible text."""
        if self._kind is not TEXT:
            self._begin_text()
        if logprobs:
            self._extra["logprobs"].extend(logprobs)
            self.gather(TEXT, delta, logprobs=list(logprobs))
        else:
            self.gather(TEXT, delta)

    def annotate(self, annotation: Annotation) -> None:
        """Annotate the text told so far."""
        if self._kind is not TEXT:
            self._begin_text()
        annotations = self._extra["annotations"]
        self._tell(_ANNOTATION, annotation_index=len(annotations), annotation=annotation)
        annotations.append(annotation)

    def refusal(self, delta: str) -> None:
        """Words in which the model refuses."""
        self.gather(REFUSAL, delta)

    def close(self, status: ItemStatus = "completed") -> None:
        self.end()
        message = cast(AssistantMessage, self.item)
        self.finish(replace(message, status=status, content=self._parts["content_index"]))

    def _begin_text(self) -> None:
        self.begin(TEXT)
        self._extra = {"annotations": [], "logprobs": []}


class OpenReasoning(OpenParts):
    """A reasoning item: raw text as `content`, a summary in parts, or neither."""

    encrypted_content: str | None = None
    """Set before `close` when the client asked for it."""

    def text(self, delta: str) -> None:
        """Raw reasoning."""
        self.gather(REASONING, delta)

    def summary(self, delta: str) -> None:
        """Words of the current part of the summary."""
        self.gather(SUMMARY, delta)

    def close(self, status: ItemStatus = "completed") -> None:
        # The real API leaves `status` out of reasoning items (behaviours.md section 2).
        self.end()
        self.finish(
            replace(
                cast(Reasoning, self.item),
                content=self._parts["content_index"] or None,
                summary=self._parts["summary_index"],
                encrypted_content=self.encrypted_content,
            )
        )


class OpenFunctionCall(OpenItem):
    """A call of a function that the client runs."""

    def __init__(self, machine: Machine, item: FunctionCall, output_index: int) -> None:
        super().__init__(machine, item, output_index)
        self._place: dict[str, Any] = {"item_id": self.item_id, "output_index": output_index}
        self._delta = partial(events.ArgumentsDelta, **self._place)
        self._arguments: list[str] = []

    def arguments(self, delta: str) -> None:
        """A piece of the arguments' JSON."""
        self.step("response.function_call_arguments.delta")
        self._arguments.append(delta)
        self.machine.emit(self._delta(delta=delta))

    def close(self, status: ItemStatus = "completed") -> None:
        arguments = "".join(self._arguments)
        self.step("response.function_call_arguments.done")
        self.machine.emit(events.ArgumentsDone(**self._place, arguments=arguments))
        self.finish(replace(cast(FunctionCall, self.item), arguments=arguments, status=status))


class OpenCompaction(OpenItem):
    """A compaction, while it is made."""

    encrypted_content: str = ""
    """Set before `close`."""

    def compacting(self) -> None:
        """Tell that the model is at it."""
        self.step("response.compaction.compacting")
        self.machine.emit(events.Compacting(item_id=self.item_id, output_index=self.output_index))

    def close(self, status: ItemStatus = "completed") -> None:
        self.finish(replace(cast(Compaction, self.item), encrypted_content=self.encrypted_content))
