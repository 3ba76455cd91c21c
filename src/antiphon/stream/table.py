"""The order in which events may come, as data. `machine.py` explains how it is read.

A row reads: in this state, this event may come, and leads to that state. The rows of the response are here,
those of each item type in `kinds.py`. Both the machine that writes a log and the fold that reads one step
through them, so neither can drift from the other.

Sources: behaviours.md section 2 (recorded order of the real API), surface.md section 8.
"""

from collections.abc import Mapping

from antiphon.protocol.response import TERMINAL

State = str
Rows = Mapping[tuple[State, str], State]


class IllegalTransition(Exception):
    """An event that may not follow: a fault of ours, never of a client or a model."""


def step(rows: Rows, state: State, event: str) -> State:
    """The state after the event. Raises IllegalTransition."""
    try:
        return rows[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} may not come in state {state}") from None


# ---- the response -----------------------------------------------------------------------------------

NEW, CREATED, QUEUED, RUNNING, FAILING, ENDED = "new", "created", "queued", "running", "failing", "ended"

RESPONSE: Rows = {
    (NEW, "response.created"): CREATED,
    (CREATED, "response.queued"): QUEUED,
    (CREATED, "response.in_progress"): RUNNING,
    (QUEUED, "response.in_progress"): RUNNING,
    # Again in a long silence, for clients that take one for a dead connection.
    (RUNNING, "response.in_progress"): RUNNING,
    # Something was said to it while it runs.
    (RUNNING, "response.steer.accepted"): RUNNING,
    (RUNNING, "response.steer.failed"): RUNNING,
    (RUNNING, "response.inject.created"): RUNNING,
    (RUNNING, "response.inject.failed"): RUNNING,
    (QUEUED, "response.cancelled"): ENDED,
    (RUNNING, "response.output_item.added"): RUNNING,
    # What is said aloud belongs to no item; `machine.py` ends it before the response.
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

TERMINAL_EVENTS = frozenset(f"response.{status}" for status in TERMINAL)

# ---- items ------------------------------------------------------------------------------------------

OPEN, CLOSED = "open", "closed"
