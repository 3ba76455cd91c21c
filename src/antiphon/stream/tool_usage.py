"""What the tools of a response counted, by its output alone."""

from collections.abc import Iterable
from typing import Any

from antiphon.protocol.hosted_items import Search, WebSearchCall
from antiphon.protocol.response import ImageUsage, InputImageTokens, ToolUsage, WebSearchUsage


def tool_usage(output: Iterable[Any]) -> ToolUsage | None:
    """None: nothing that is counted was done."""
    searches = sum(map(_searches, output))
    if not searches:
        return None
    return ToolUsage(
        image_gen=ImageUsage(input_tokens_details=InputImageTokens()), web_search=WebSearchUsage(searches)
    )


def _searches(item: Any) -> int:
    if not isinstance(item, WebSearchCall) or item.status != "completed":
        return 0
    return len(item.action.queries or ("",)) if isinstance(item.action, Search) else 0
