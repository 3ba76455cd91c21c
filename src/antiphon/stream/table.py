"""The order in which events may be told, as data. `machine.py` explains how it is read.

A row reads: in this state, this event may be told, and leads to that state. A content part's beginning
is named with the type of the part, since that decides what may follow. Both the machine that writes a
log and the fold that reads one step through these rows, so neither can drift from the other.

Sources: behaviours.md section 2 (recorded order of the real API), surface.md section 8.
"""

from collections.abc import Mapping

State = str
Rows = Mapping[tuple[State, str], State]


class IllegalTransition(Exception):
    """An event was told that may not follow: a fault of ours, never of a client or a model."""


def step(rows: Rows, state: State, event: str) -> State:
    """The state after the event. Raises IllegalTransition."""
    try:
        return rows[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} may not be told in state {state}") from None


# ---- the response -----------------------------------------------------------------------------------

NEW, CREATED, QUEUED, RUNNING, FAILING, ENDED = "new", "created", "queued", "running", "failing", "ended"

RESPONSE: Rows = {
    (NEW, "response.created"): CREATED,
    (CREATED, "response.queued"): QUEUED,
    (CREATED, "response.in_progress"): RUNNING,
    (QUEUED, "response.in_progress"): RUNNING,
    # Told again in a long silence, for clients that take one for a dead connection.
    (RUNNING, "response.in_progress"): RUNNING,
    (QUEUED, "response.cancelled"): ENDED,
    (RUNNING, "response.output_item.added"): RUNNING,
    # What is said aloud belongs to no item; `machine.py` tells the end of it before the response's.
    (RUNNING, "response.audio.delta"): RUNNING,
    (RUNNING, "response.audio.done"): RUNNING,
    (RUNNING, "response.audio.transcript.delta"): RUNNING,
    (RUNNING, "response.audio.transcript.done"): RUNNING,
    (RUNNING, "response.completed"): ENDED,
    (RUNNING, "response.incomplete"): ENDED,
    (RUNNING, "response.cancelled"): ENDED,
    (RUNNING, "error"): FAILING,
    (QUEUED, "error"): FAILING,
    (FAILING, "response.failed"): ENDED,
}

TERMINAL_EVENTS = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)

# ---- items ------------------------------------------------------------------------------------------

OPEN, CLOSED = "open", "closed"


def _told(stages: str) -> Rows:
    """Rows of an item that tells its stages one after another: `"a b"` reads open, a, b, closed."""
    rows: dict[tuple[State, str], State] = {}
    state = OPEN
    for event in stages.split():
        if event.endswith("*"):  # any number of times
            rows[state, event[:-1]] = state
        else:
            rows[state, event] = state = event
    rows[state, "response.output_item.done"] = CLOSED
    return rows


def _parts(*kinds: tuple[str, str]) -> Rows:
    """Rows of the content parts of an item: for each (part type, stem of its events)."""
    rows: dict[tuple[State, str], State] = {}
    for part, stem in kinds:
        told = f"{part} told"
        rows[OPEN, f"response.content_part.added:{part}"] = part
        rows[part, f"response.{stem}.delta"] = part
        rows[part, f"response.{stem}.done"] = told
        rows[told, "response.content_part.done"] = OPEN
    return rows


_DONE: Rows = {(OPEN, "response.output_item.done"): CLOSED}

_SUMMARY: Rows = {
    (OPEN, "response.reasoning_summary_part.added"): "summary",
    ("summary", "response.reasoning_summary_text.delta"): "summary",
    ("summary", "response.reasoning_summary_text.done"): "summary told",
    ("summary told", "response.reasoning_summary_part.done"): OPEN,
}

_DIFF = "response.apply_patch_call_operation_diff"

_LISTING, _CALLING = "response.mcp_list_tools", "response.mcp_call"
_MCP: Mapping[str, Rows] = {
    "mcp_list_tools": {
        (OPEN, f"{_LISTING}.in_progress"): "listing",
        ("listing", f"{_LISTING}.completed"): "listed",
        ("listing", f"{_LISTING}.failed"): "listed",
        ("listing", "response.output_item.done"): CLOSED,  # given up
        ("listed", "response.output_item.done"): CLOSED,
    },
    "mcp_call": {
        (OPEN, f"{_CALLING}.in_progress"): "written",
        ("written", "response.mcp_call_arguments.delta"): "written",
        ("written", "response.mcp_call_arguments.done"): "called",
        ("called", f"{_CALLING}.completed"): "answered",
        ("called", f"{_CALLING}.failed"): "answered",
        ("called", "response.output_item.done"): CLOSED,  # given up
        ("answered", "response.output_item.done"): CLOSED,
    },
}

ITEMS: Mapping[str, Rows] = {
    "message": {
        **_parts(("output_text", "output_text"), ("refusal", "refusal")),
        ("output_text", "response.output_text.annotation.added"): "output_text",
        **_DONE,
    },
    "reasoning": {**_parts(("reasoning_text", "reasoning_text")), **_SUMMARY, **_DONE},
    "compaction": {(OPEN, "response.compaction.compacting"): OPEN, **_DONE},
    "function_call": _told("response.function_call_arguments.delta* response.function_call_arguments.done"),
    "custom_tool_call": _told("response.custom_tool_call_input.delta* response.custom_tool_call_input.done"),
    # A file that is deleted has no diff to tell.
    "apply_patch_call": {**_told(f"{_DIFF}.delta* {_DIFF}.done"), **_DONE},
    "shell_call": {
        (OPEN, "response.shell_call_command.added"): "command",
        ("command", "response.shell_call_command.delta"): "command",
        ("command", "response.shell_call_command.done"): OPEN,
        **_DONE,
    },
    **_MCP,
}


def rows_of(item_type: str) -> Rows:
    """The rows of an item type; a type that is not in the table has no events of its own."""
    return ITEMS.get(item_type, _DONE)
