"""What turns cost, as the API shows it."""

from antiphon.model import UsageDelta
from antiphon.protocol.response import (
    CacheWriteTokensDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Usage,
)


def usage_of(turn: UsageDelta | None) -> Usage | None:
    """What a turn cost."""
    if turn is None:
        return None
    writes = turn.writes
    return Usage(
        input_tokens=turn.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=turn.cached_tokens,
            cache_write_tokens=turn.written_tokens,
            cache_write_tokens_details=CacheWriteTokensDetails(writes.short, writes.long) if writes else None,
        ),
        output_tokens=turn.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=turn.reasoning_tokens),
        total_tokens=turn.input_tokens + turn.output_tokens,
    )


def with_turn(before: Usage | None, turn: UsageDelta | None) -> Usage | None:
    """What a response cost with one more turn."""
    added = usage_of(turn)
    return before.plus(added) if before is not None and added is not None else added or before
