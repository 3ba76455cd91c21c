"""What became of a response, as a row of the store's activity."""

import time

from antiphon.protocol.item import item_type
from antiphon.protocol.response import TERMINAL, Response, Usage
from antiphon.store.activity import ActivityRow
from antiphon.store.keys import KeyUse

_NOTHING = Usage.none()
"""Nobody said what it took."""


def activity_of(
    project: str,
    response: Response,
    *,
    started_at: float,
    first_at: float | None,
    backend: str | None,
    use: KeyUse | None,
    stored: bool = True,
) -> ActivityRow:
    """The row of a response that ends now. One that has not ended is what nobody waits for any more:
    cancelled. `started_at`: when it was asked for; `first_at`: when the model first said something (seconds
    since the epoch). `backend`: the name of the one that was asked; None: none was. `use`: what it counts
    to."""
    now, usage = time.time(), response.usage or _NOTHING
    return ActivityRow(
        project=project,
        response_id=response.id,
        created_at=response.created_at,
        ended_at=now,
        model=response.model,
        backend=backend,
        status=response.status if response.status in TERMINAL else "cancelled",
        error_code=_error_code(response),
        milliseconds=_milliseconds(started_at, now),
        first_milliseconds=None if first_at is None else _milliseconds(started_at, first_at),
        tools=_tools(response),
        conversation_id=response.conversation.id if response.conversation is not None else None,
        api_key=use.name if use is not None else None,
        stored=stored,
        background=response.background,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.input_tokens_details.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
    )


def tokens_of(row: ActivityRow, use: KeyUse) -> int:
    """What a response took. Where the model began and nobody said what it took, it is what was reserved."""
    tokens = row.input_tokens + row.output_tokens
    return use.reserved if not tokens and row.first_milliseconds is not None else tokens


def _error_code(response: Response) -> str | None:
    if response.error is not None:
        return response.error.code
    return response.incomplete_details.reason if response.incomplete_details is not None else None


def _tools(response: Response) -> list[str]:
    """The types of what was called."""
    kinds = dict.fromkeys(map(item_type, response.output))
    return [kind for kind in kinds if kind.endswith("_call")]


def _milliseconds(start: float, end: float) -> int:
    return max(0, round((end - start) * 1000))
