"""The items that a model itself writes, as they are told: messages, reasoning, function calls.

Messages and reasoning consist of parts, and the parts of every kind are told alike: added, deltas, the
whole, done. A `PartKind` names the events of a kind; `OpenParts` tells them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.content import Annotation, Logprob, OutputText, ReasoningText, Refusal, SummaryText
from antiphon.protocol.events import Event, event_type
from antiphon.protocol.client_items import FunctionCall
from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, Reasoning
from antiphon.stream.machine import ItemStatus, Machine, OpenItem


class PartKind(NamedTuple):
    """The events with which parts of a kind are told, and the part that they become."""

    part: type[OutputText | Refusal | ReasoningText | SummaryText]
    member: str
    """The member of the part, and of the event `whole`, that holds the text."""
    counter: str
    """The member of each event that counts the parts of the item."""
    added: type[Event]
    added_row: str
    delta: type[Event]
    delta_row: str
    whole: type[Event]
    done: type[Event]


def _content(part: Any, member: str, delta: type[Event], whole: type[Event]) -> PartKind:
    row = f"response.content_part.added:{part.__struct_config__.tag}"
    added, done = events.PartAdded, events.PartDone
    return PartKind(part, member, "content_index", added, row, delta, event_type(delta), whole, done)


TEXT = _content(OutputText, "text", events.TextDelta, events.TextDone)
REFUSAL = _content(Refusal, "refusal", events.RefusalDelta, events.RefusalDone)
REASONING = _content(ReasoningText, "text", events.ReasoningTextDelta, events.ReasoningTextDone)
SUMMARY = PartKind(
    SummaryText,
    "text",
    "summary_index",
    events.SummaryPartAdded,
    event_type(events.SummaryPartAdded),
    events.SummaryTextDelta,
    event_type(events.SummaryTextDelta),
    events.SummaryTextDone,
    events.SummaryPartDone,
)


class OpenParts(OpenItem):
    """An item made of parts. A new kind of content closes the part before it."""

    def __init__(self, machine: Machine, item: Item, output_index: int) -> None:
        super().__init__(machine, item, output_index)
        self._kind: PartKind | None = None
        self._place: dict[str, Any] = {}
        self._text: list[str] = []
        self._extra: dict[str, list[Any]] = {}
        """What the part and its events carry besides text."""
        self._parts: dict[str, list[Any]] = {"content_index": [], "summary_index": []}

    def gather(self, kind: PartKind, delta: str, **members: Any) -> None:
        """Tell a piece of a part of the given kind."""
        if self._kind is not kind:
            self.begin(kind)
        self.step(kind.delta_row)
        self._text.append(delta)
        self.machine.tell(kind.delta(**self._place, delta=delta, **members))

    def begin(self, kind: PartKind) -> None:
        """End the part before, and begin one of the given kind."""
        self.end()
        self.step(kind.added_row)
        self._kind = kind
        self._place = {
            "item_id": self.item_id,
            "output_index": self.output_index,
            kind.counter: len(self._parts[kind.counter]),
        }
        self.machine.tell(kind.added(**self._place, part=kind.part(**{kind.member: ""})))

    def end(self) -> None:
        """End the part that is being told, if there is one."""
        kind = self._kind
        if kind is None:
            return
        text = "".join(self._text)
        part = kind.part(**{kind.member: text}, **self._extra)
        logprobs = {"logprobs": self._extra["logprobs"]} if kind is TEXT else {}
        self.step(event_type(kind.whole))
        self.machine.tell(kind.whole(**self._place, **{kind.member: text}, **logprobs))
        self.step(event_type(kind.done))
        self.machine.tell(kind.done(**self._place, part=part))
        self._parts[kind.counter].append(part)
        self._kind, self._text, self._extra = None, [], {}


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
        self.step("response.output_text.annotation.added")
        told = self._extra["annotations"]
        self.machine.tell(
            events.AnnotationAdded(**self._place, annotation_index=len(told), annotation=annotation)
        )
        told.append(annotation)

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
        # The real API leaves `status` out of reasoning items (BEHAVIOURS.md section 2).
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
        self._place = {"item_id": self.item_id, "output_index": output_index}
        self._arguments: list[str] = []

    def arguments(self, delta: str) -> None:
        """A piece of the arguments' JSON."""
        self.step("response.function_call_arguments.delta")
        self._arguments.append(delta)
        self.machine.tell(events.ArgumentsDelta(**self._place, delta=delta))

    def close(self, status: ItemStatus = "completed") -> None:
        arguments = "".join(self._arguments)
        self.step("response.function_call_arguments.done")
        self.machine.tell(events.ArgumentsDone(**self._place, arguments=arguments))
        self.finish(replace(cast(FunctionCall, self.item), arguments=arguments, status=status))
