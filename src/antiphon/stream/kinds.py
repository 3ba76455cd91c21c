"""What there is to know of each item type: one row.

A new item type is a class in `protocol/` and a row here. The transition table, the fold, the resumption of a
log, the journal, the pairing of calls with their outputs, and what the model reads of an interrupted item
are all derived from the rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from antiphon.protocol import events, items
from antiphon.protocol.events import Event
from antiphon.protocol.item import InputItem
from antiphon.stream import steps
from antiphon.stream.steps import Build, Step, TextMember, by_itself
from antiphon.stream.table import CLOSED, OPEN, Rows, State

Nature = Literal["speech", "call", "output", "context"]
"""What an item is to the conversation: what the model says, a call that it makes, the answer to one, or
anything else that it reads."""
Key = type[Event] | tuple[type[Event], str]
"""An event as the machine names it: its class; with the type of the part, where a part begins."""
Moves = Mapping[tuple[State, Key], State]
Cut = Callable[[str], Mapping[str, Any]]
"""The members that an item is closed with when nobody will finish it, from words on why."""


def _with(**members: Any) -> Cut:
    """The same, whatever the reason."""
    return lambda why: members


_INCOMPLETE, _UNCHANGED = _with(status="incomplete"), _with()


def _without_answer(why: str) -> Mapping[str, Any]:
    return {"error": f"{why} before the answer."}


def _always(item: Any) -> bool:
    return True


def _is_whole(item: Any) -> bool:
    """Whether the arguments of a call were written to their end."""
    try:
        return isinstance(msgspec.json.decode(item.arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


@dataclass(frozen=True)
class ItemKind:
    """A row."""

    item: type[InputItem]
    """The type on the wire, with the prefix of its ids."""
    nature: Nature
    steps: Sequence[Step] = ()
    closes: Sequence[State] = (OPEN,)
    """The states in which it may be closed."""
    cut: Cut = _INCOMPLETE
    answered_by: str | None = None
    """The type of the item that answers it, under the same call_id."""
    text: TextMember | None = None
    """What of it grows by deltas, besides parts and commands."""
    effect: type[Event] | None = None
    """The event behind which a call may take effect, so that it must be durable first. A call whose item is
    done before it is made needs none."""
    may_have_run: Callable[[Any], bool] = _always
    """Whether a call that was cut short may have taken effect: the model reads of it then."""

    @property
    def type(self) -> str:
        return str(self.item.__struct_config__.tag)

    @cached_property
    def rows(self) -> Rows:
        """Its part of the transition table, by the names of events."""
        moves = {(step.before, step.row): step.after for step in self.steps}
        return moves | {(state, "response.output_item.done"): CLOSED for state in self.closes}

    @cached_property
    def moves(self) -> Moves:
        """The same for the machine, which has the events themselves."""
        moves: dict[tuple[State, Key], State] = {
            (step.before, (step.event, step.part) if step.part else step.event): step.after
            for step in self.steps
        }
        return moves | {(state, events.ItemDone): CLOSED for state in self.closes}

    @cached_property
    def builds(self) -> Mapping[str, Build]:
        """What each event adds to the item."""
        return {events.event_type(step.event): step.build for step in self.steps}

    @cached_property
    def has_status(self) -> bool:
        """Whether an item of an output shows a status."""
        return "status" in self.cut("")

    @property
    def by_model(self) -> bool:
        return self.nature in ("speech", "call")

    def was_cut(self, item: InputItem) -> bool:
        """Whether the item was never finished. What failed is finished."""
        status = self.cut("").get("status")
        return status not in (None, "failed") and getattr(item, "status", None) == status

    def was_chosen(self, item: InputItem) -> bool:
        """Whether it is a call that the model made of its own accord: if it had to call, it has. One that the
        user approved was made for him, and one that waits for an answer was not made when it was cut."""
        asked = self.nature == "call" and getattr(item, "approval_request_id", None) is None
        return asked and not (self.answered_by is not None and self.was_cut(item))


# ---- the life of each ------------------------------------------------------------------------------


def _parts(kind: str, member: str, delta: type[Event], done: type[Event]) -> tuple[Step, ...]:
    return steps.part(steps.CONTENT, kind, member, delta, done)


def _search(*kinds: type[Event]) -> tuple[Sequence[Step], Sequence[State]]:
    """The stages of a call that has no other events; it may be closed after any of them."""
    found = steps.stages(*kinds)
    return found, (OPEN, *(step.after for step in found))


_MESSAGE = (
    *_parts("output_text", "text", events.TextDelta, events.TextDone),
    *_parts("refusal", "refusal", events.RefusalDelta, events.RefusalDone),
    steps.annotations("output_text"),
)
_REASONING = (
    *_parts("reasoning_text", "text", events.ReasoningTextDelta, events.ReasoningTextDone),
    *steps.part(steps.SUMMARY, "", "text", events.SummaryTextDelta, events.SummaryTextDone),
)
_COMPACTION = (Step(OPEN, events.Compacting, OPEN),)
_ARGUMENTS = TextMember(("arguments",), events.ArgumentsDelta, events.ArgumentsDone)
_INPUT = TextMember(("input",), events.CustomInputDelta, events.CustomInputDone)
_DIFF = TextMember(("operation", "diff"), events.PatchDiffDelta, events.PatchDiffDone)
_CODE = TextMember(("code",), events.CodeDelta, events.CodeDone)
_MCP_ARGUMENTS = TextMember(("arguments",), events.McpArgumentsDelta, events.McpArgumentsDone)
_FILE_SEARCH, _FILE_SEARCH_CLOSES = _search(
    events.FileSearchInProgress, events.FileSearchSearching, events.FileSearchCompleted
)
_WEB_SEARCH, _WEB_SEARCH_CLOSES = _search(
    events.WebSearchInProgress, events.WebSearchSearching, events.WebSearchCompleted
)
_IMAGE, _IMAGE_CLOSES = _search(events.ImageInProgress, events.ImageGenerating, events.ImageCompleted)
_GENERATING = events.event_type(events.ImageGenerating)
_PARTIAL = (
    Step(_GENERATING, events.PartialImage, "partial"),
    Step("partial", events.PartialImage, "partial"),
    Step("partial", events.ImageCompleted, events.event_type(events.ImageCompleted)),
)
_INTERPRETER = (
    Step(OPEN, events.CodeInProgress, "started"),
    *_CODE.steps("started", "written"),
    *steps.stages(events.CodeInterpreting, events.CodeCompleted, before="written"),
)
_INTERPRETER_CLOSES = (
    *(OPEN, "started", "written"),
    *map(events.event_type, (events.CodeInterpreting, events.CodeCompleted)),
)
_LISTING = (
    Step(OPEN, events.McpListingInProgress, "listing", make=by_itself(events.McpListingInProgress)),
    Step("listing", events.McpListingCompleted, "listed"),
    Step("listing", events.McpListingFailed, "listed"),
)
_MCP_CALL = (
    Step(OPEN, events.McpCallInProgress, "started", make=by_itself(events.McpCallInProgress)),
    *_MCP_ARGUMENTS.steps("started", "called"),
    Step("called", events.McpCallCompleted, "answered"),
    Step("called", events.McpCallFailed, "answered"),
)

KINDS: Sequence[ItemKind] = (
    ItemKind(items.AssistantMessage, "speech", _MESSAGE),
    # The real API leaves `status` out of reasoning items (behaviours.md section 2).
    ItemKind(items.Reasoning, "speech", _REASONING, cut=_UNCHANGED),
    ItemKind(
        items.FunctionCall,
        "call",
        _ARGUMENTS.steps(OPEN, "written"),
        ("written",),
        answered_by="function_call_output",
        text=_ARGUMENTS,
    ),
    ItemKind(items.FunctionCallOutput, "output"),
    ItemKind(
        items.CustomToolCall,
        "call",
        _INPUT.steps(OPEN, "written"),
        ("written",),
        answered_by="custom_tool_call_output",
        text=_INPUT,
    ),
    ItemKind(items.CustomToolCallOutput, "output"),
    # A file that is deleted has no diff.
    ItemKind(
        items.ApplyPatchCall,
        "call",
        _DIFF.steps(OPEN, "written"),
        (OPEN, "written"),
        cut=_with(status="in_progress"),  # it knows no status `incomplete`
        answered_by="apply_patch_call_output",
        text=_DIFF,
    ),
    ItemKind(items.ApplyPatchCallOutput, "output", cut=_with(status="failed")),
    ItemKind(items.ShellCall, "call", steps.commands(), answered_by="shell_call_output"),
    ItemKind(items.ShellCallOutput, "output", steps.printed(), (OPEN, "printing")),
    ItemKind(items.LocalShellCall, "call", answered_by="local_shell_call_output"),
    ItemKind(items.LocalShellCallOutput, "output"),
    ItemKind(items.ComputerCall, "call", answered_by="computer_call_output"),
    ItemKind(items.ComputerCallOutput, "output"),
    ItemKind(items.ToolSearchCall, "call", answered_by="tool_search_output"),
    ItemKind(items.ToolSearchOutput, "output"),
    ItemKind(items.Program, "call", cut=_UNCHANGED, answered_by="program_output"),
    ItemKind(items.ProgramOutput, "output"),
    ItemKind(items.FileSearchCall, "call", _FILE_SEARCH, _FILE_SEARCH_CLOSES),
    ItemKind(items.WebSearchCall, "call", _WEB_SEARCH, _WEB_SEARCH_CLOSES),
    ItemKind(
        items.CodeInterpreterCall,
        "call",
        _INTERPRETER,
        _INTERPRETER_CLOSES,
        text=_CODE,
        effect=events.CodeInterpreting,
    ),
    ItemKind(
        items.ImageGenerationCall,
        "call",
        (*_IMAGE, *_PARTIAL),
        (*_IMAGE_CLOSES, "partial"),
        cut=_with(status="failed", result=None),
        effect=events.ImageGenerating,
    ),
    ItemKind(items.McpListTools, "context", _LISTING, ("listing", "listed"), cut=_without_answer),
    ItemKind(
        items.McpCall,
        "call",
        _MCP_CALL,
        ("called", "answered"),
        text=_MCP_ARGUMENTS,
        effect=events.McpArgumentsDone,
        may_have_run=_is_whole,
    ),
    ItemKind(items.McpApprovalRequest, "call", cut=_UNCHANGED),
    ItemKind(items.McpApprovalResponse, "output", cut=_UNCHANGED),
    ItemKind(items.InputMessage, "context"),
    ItemKind(items.Compaction, "context", _COMPACTION, cut=_UNCHANGED),
    ItemKind(items.AdditionalTools, "context", cut=_UNCHANGED),
    ItemKind(items.ConfigurationUpdate, "context", cut=_UNCHANGED),
    ItemKind(items.AgentMessage, "context", cut=_UNCHANGED),
    ItemKind(items.MultiAgentCall, "call", cut=_UNCHANGED, answered_by="multi_agent_call_output"),
    ItemKind(items.MultiAgentCallOutput, "output", cut=_UNCHANGED),
)

# ---- what is derived from all of them -----------------------------------------------------------------

_OF_CLASS: Mapping[type, ItemKind] = {kind.item: kind for kind in KINDS}
# What a response has under the name `message` is the assistant's.
_OF_TYPE: Mapping[str, ItemKind] = {kind.type: kind for kind in reversed(KINDS)}

CALL_OF: Mapping[str, str] = {kind.answered_by: kind.type for kind in KINDS if kind.answered_by is not None}
"""The type of the call that an output answers."""
EFFECTS = frozenset(kind.effect for kind in KINDS if kind.effect is not None)
"""Events behind which a call may take effect."""


def kind_of(item: InputItem) -> ItemKind:
    return _OF_CLASS[type(item)]


def kind_named(name: str) -> ItemKind:
    """The kind of an item of an output, by its `type`."""
    return _OF_TYPE[name]


def was_cut(item: InputItem) -> bool:
    """Whether the item was never finished."""
    return kind_of(item).was_cut(item)
