"""`web_search`: a search on the web, run by the server."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.hosted_items import WebSearchCall
from antiphon.tools.recall import answered, called


def recall_call(item: WebSearchCall) -> Sequence[Message]:
    """The answer that the model then wrote has what it found; the call tells what it looked for."""
    call_id = item.id or ""
    return (called(call_id, "web_search", item.action or {}), answered(call_id, item.status or "completed"))
