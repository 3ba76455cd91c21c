"""`file_search`: a search in vector stores, run by the server."""

from collections.abc import Sequence

from antiphon.model import Message
from antiphon.protocol.hosted_items import FileSearchCall
from antiphon.protocol.wire import encode
from antiphon.tools.messages import answered, called


def call_to_messages(item: FileSearchCall) -> Sequence[Message]:
    call_id = item.id or ""
    found = encode(item.results).decode() if item.results is not None else item.status or "completed"
    return (called(call_id, "file_search", {"queries": item.queries}), answered(call_id, found))
