"""POST /responses/compact: the context, compacted (surface.md section 11)."""

from typing import Any, Literal

from antiphon.protocol.response import Usage
from antiphon.protocol.wire import Wire, shown


class CompactedResponse(Wire, kw_only=True):
    """What users and developers wrote, then one compaction item: the next `input`."""

    id: str
    object: Literal["response.compaction"] = shown("response.compaction")
    created_at: int
    output: list[Any]
    usage: Usage
