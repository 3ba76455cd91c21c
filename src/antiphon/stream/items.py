"""The items that a model writes, while they are written: messages, reasoning, compactions, and what has a
text that grows.

Messages and reasoning consist of parts, and the parts of every kind have the same events: added, deltas, the
whole, done. A `PartKind` names the events of a kind; `OpenParts` emits them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.client_items import CommandOutput, ShellAction, ShellCall, ShellCallOutput
from antiphon.protocol.content import (
    Annotation,
    Logprob,
    OutputText,
    Part,
    ReasoningText,
    Refusal,
    SummaryText,
)
from antiphon.protocol.delta_runs import DeltaPlace, DeltaRun
from antiphon.protocol.events import Event
from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, Compaction, Reasoning
from antiphon.stream.built_item import Path
from antiphon.stream.kinds import kind_of
from antiphon.stream.machine import Machine, OpenItem
from antiphon.stream.table import OPEN, State


class PartKind(NamedTuple):
    """The events of the parts of a kind, and what the parts become."""

    part: Callable[..., Any]
    empty: Any
    """One without a word in it."""
    member: str
    """The member of the part, and of the event `whole`, that holds the text."""
    counter: str
    """The member of each event that counts the parts of the item."""
    added: Callable[..., Event]
    delta: Callable[..., Event]
    whole: Callable[..., Event]
    done: Callable[..., Event]


def _content(part: type[Part], member: str, delta: type[Event], whole: type[Event]) -> PartKind:
    empty = part(**{member: ""})
    return PartKind(part, empty, member, "content_index", events.PartAdded, delta, whole, events.PartDone)


TEXT = _content(OutputText, "text", events.TextDelta, events.TextDone)
REFUSAL = _content(Refusal, "refusal", events.RefusalDelta, events.RefusalDone)
REASONING = _content(ReasoningText, "text", events.ReasoningTextDelta, events.ReasoningTextDone)
SUMMARY = PartKind(
    SummaryText,
    SummaryText(text=""),
    "text",
    "summary_index",
    events.SummaryPartAdded,
    events.SummaryTextDelta,
    events.SummaryTextDone,
    events.SummaryPartDone,
)


class OpenParts(OpenItem):
    """An item made of parts. A new kind of content closes the part before it."""

    _place: Mapping[str, Any]
    _delta: Callable[..., Event]
    """Makes its deltas."""

    def __init__(self, machine: Machine, item: Item, output_index: int, state: State = OPEN) -> None:
        super().__init__(machine, item, output_index, state)
        self._kind: PartKind | None = None
        """Of the part that is written."""
        self._text: list[str] = []
        self._extra: dict[str, list[Any]] = {}
        """What the part and its events carry besides text."""
        self._parts: dict[str, list[Any]] = {}
        """Those that are whole, by their counter."""

    @property
    def said(self) -> str:
        return "".join(self._text)

    def gather(self, kind: PartKind, delta: str, **members: Any) -> None:
        """A piece of a part of the given kind."""
        if self._kind is not kind:
            self.begin(kind)
        self._text.append(delta)
        self.emit(self._delta(delta=delta, **members))

    def begin(self, kind: PartKind) -> None:
        """End the part before, and begin one of the given kind."""
        self.end()
        self._kind = kind
        self._place = {**self.place, kind.counter: len(self._parts.get(kind.counter, ()))}
        self._delta = partial(kind.delta, **self._place)
        self.emit(kind.added(**self._place, part=kind.empty))

    def end(self) -> None:
        """End the part that is written, if there is one."""
        kind = self._kind
        if kind is None:
            return
        text = {kind.member: "".join(self._text)}
        part = kind.part(**text, **{name: tuple(values) for name, values in self._extra.items()})
        logprobs = {"logprobs": self._extra["logprobs"]} if "logprobs" in self._extra else {}
        self.emit(kind.whole(**self._place, **text, **logprobs))
        self.emit(kind.done(**self._place, part=replace(part, logprobs=()) if logprobs else part))
        self._parts.setdefault(kind.counter, []).append(part)
        self._kind, self._text, self._extra = None, [], {}

    def _whole(self, counter: str) -> tuple[Any, ...]:
        return tuple(self._parts.get(counter, ()))

    def settle(self) -> None:
        self.end()


class OpenMessage(OpenParts):
    """An assistant message."""

    phase: Literal["commentary", "final_answer"] | None = None
    """Set before it is closed, where it is known."""
    _text_place: DeltaPlace | None
    """Of the text that is written, once a run of it was."""

    def text(self, delta: str, logprobs: Sequence[Logprob] = ()) -> None:
        """Visible text."""
        if self._kind is not TEXT:
            self._begin_text()
        if logprobs:
            self._extra.setdefault("logprobs", []).extend(logprobs)
            self.gather(TEXT, delta, logprobs=list(logprobs))
        else:
            self.gather(TEXT, delta)

    def run(self, text: str, pieces: Sequence[bytes]) -> None:
        """Visible text of several deltas: `pieces`, each as the inside of a JSON string."""
        if self._kind is not TEXT:
            self._begin_text()
        if self._text_place is None:
            self._text_place = DeltaPlace(events.TextDelta, **self._place)
        self._text.append(text)
        self.emit_run(DeltaRun(self._text_place, pieces))

    def nothing(self) -> None:
        """A text without a word in it."""
        self._begin_text()

    def annotate(self, annotation: Annotation) -> None:
        """Annotate the text so far."""
        if self._kind is not TEXT:
            self._begin_text()
        annotations = self._extra.setdefault("annotations", [])
        place = {**self._place, "annotation_index": len(annotations)}
        self.emit(events.AnnotationAdded(**place, annotation=annotation))
        annotations.append(annotation)

    def refusal(self, delta: str) -> None:
        """Words in which the model refuses."""
        self.gather(REFUSAL, delta)

    def built(self) -> Item:
        item = cast(AssistantMessage, self.item)
        return replace(item, content=self._whole("content_index"), phase=self.phase or item.phase)

    def _begin_text(self) -> None:
        self.begin(TEXT)
        self._text_place = None


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

    def built(self) -> Item:
        return replace(
            cast(Reasoning, self.item),
            content=self._whole("content_index") or None,
            summary=self._whole("summary_index"),
            encrypted_content=self.encrypted_content,
        )


class OpenText(OpenItem):
    """An item with one member that grows: a call's arguments, input, code or diff, as its kind says."""

    def __init__(self, machine: Machine, item: Item, output_index: int, state: State = OPEN) -> None:
        super().__init__(machine, item, output_index, state)
        assert self.kind.text is not None, f"nothing of {self.kind.type} grows"
        self._member = self.kind.text
        self._delta: Callable[..., Event] = partial(self._member.delta, **self.place)
        self._pieces: list[str] = []
        self._run_place: DeltaPlace | None = None
        self._whole: str | None = None

    @property
    def said(self) -> str:
        return "".join(self._pieces)

    def write(self, delta: str) -> None:
        """A piece of the text."""
        self._pieces.append(delta)
        OpenItem.emit(self, self._delta(delta=delta))

    def run(self, text: str, pieces: Sequence[bytes]) -> None:
        """Several pieces of a function call's arguments, each as the inside of a JSON string."""
        if self._run_place is None:
            self._run_place = DeltaPlace(events.ArgumentsDelta, **self.place)
        self._pieces.append(text)
        self.emit_run(DeltaRun(self._run_place, pieces))

    def emit(self, event: Event) -> None:
        super().emit(event)
        if type(event) is self._member.delta:
            self._pieces.append(event.delta)  # type: ignore[attr-defined]
        elif type(event) is self._member.done:
            self._whole = "".join(self._pieces)

    def end(self) -> None:
        """The text is whole."""
        if self._whole is None:
            done: Callable[..., Event] = self._member.done
            self._whole = "".join(self._pieces)
            self.emit(done(**self.place, **{self._member.path[-1]: self._whole}))

    def settle(self) -> None:
        if not self.may_close:
            self.end()

    def built(self) -> Item:
        if not self._pieces:
            return self.item
        return cast(Item, _with_member(self.item, self._member.path, "".join(self._pieces)))


class OpenCommands(OpenItem):
    """Commands of a shell, written one after another."""

    def __init__(self, machine: Machine, item: Item, output_index: int, state: State = OPEN) -> None:
        super().__init__(machine, item, output_index, state)
        self.action = ShellAction(commands=[])
        """What is to be run; its limits are set before `close`."""
        self._command: list[str] | None = None

    def command(self, delta: str) -> None:
        """A piece of the command that is written; the first piece begins it."""
        if self._command is None:
            self._command = []
            self.emit(events.CommandAdded(**self._here, command=""))
        if delta:
            self._command.append(delta)
            self.emit(events.CommandDelta(**self._here, delta=delta))

    def end(self) -> None:
        """The command is whole."""
        if self._command is not None:
            command = "".join(self._command)
            self.emit(events.CommandDone(**self._here, command=command))
            self.action.commands.append(command)
            self._command = None

    def settle(self) -> None:
        self.end()

    def built(self) -> Item:
        return replace(cast(ShellCall, self.item), action=self.action)

    @property
    def _here(self) -> dict[str, int]:
        return {"output_index": self.output_index, "command_index": len(self.action.commands)}


class OpenOutputs(OpenItem):
    """What the commands of a shell print, while they run."""

    def __init__(self, machine: Machine, item: Item, output_index: int, state: State = OPEN) -> None:
        super().__init__(machine, item, output_index, state)
        self._output: list[CommandOutput] = []

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, events.ShellOutputDone):
            self._output += event.output

    def built(self) -> Item:
        return replace(cast(ShellCallOutput, self.item), output=self._output)


class OpenCompaction(OpenItem):
    """A compaction, while it is made."""

    encrypted_content: str = ""
    """Set before `close`."""

    def compacting(self) -> None:
        """The model is at it."""
        self.emit(events.Compacting(**self.place))

    def built(self) -> Item:
        return replace(cast(Compaction, self.item), encrypted_content=self.encrypted_content)


def open_item(machine: Machine, item: Item) -> OpenItem:
    """Add an item to the output, for who emits its events himself. The handle gathers what they build."""
    if kind_of(item).text is not None:
        return machine.open(OpenText, item)
    return machine.open(_HANDLES.get(type(item), OpenItem), item)


_HANDLES: dict[type[Item], type[OpenItem]] = {
    AssistantMessage: OpenMessage,
    Reasoning: OpenReasoning,
    ShellCall: OpenCommands,
    ShellCallOutput: OpenOutputs,
    Compaction: OpenCompaction,
}


def _with_member(item: Any, path: Path, value: str) -> Any:
    """A copy of the item that has a value at a place."""
    name, deeper = path[0], path[1:]
    held = _with_member(getattr(item, name), deeper, value) if deeper else value
    return replace(item, **{name: held})
