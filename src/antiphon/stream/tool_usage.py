"""What the tools of a response counted: searches by its output, pictures as their server counts them."""

from collections.abc import Iterable
from typing import Any

from antiphon.protocol.hosted_items import Search, WebSearchCall
from antiphon.protocol.response import ImageUsage, InputImageTokens, ToolUsage, WebSearchUsage


def tool_usage(output: Iterable[Any], images: ImageUsage | None = None) -> ToolUsage | None:
    """None: nothing that is counted was done."""
    searches = sum(map(_searches, output))
    if not searches and images is None:
        return None
    none = ImageUsage(input_tokens_details=InputImageTokens())
    return ToolUsage(image_gen=images or none, web_search=WebSearchUsage(searches))


def _searches(item: Any) -> int:
    if not isinstance(item, WebSearchCall) or item.status != "completed":
        return 0
    return len(item.action.queries or ("",)) if isinstance(item.action, Search) else 0
