"""`code_interpreter`: Python in a container, run by the server."""

from collections.abc import Sequence

from antiphon.model import Message
from antiphon.protocol.hosted_items import CodeInterpreterCall, Logs
from antiphon.tools.messages import answered, called


def call_to_messages(item: CodeInterpreterCall) -> Sequence[Message]:
    call_id = item.id or ""
    logs = [output.logs for output in item.outputs or () if isinstance(output, Logs)]
    return (
        called(call_id, "code_interpreter", {"code": item.code or ""}),
        answered(call_id, "\n".join(logs) or item.status or "completed"),
    )
