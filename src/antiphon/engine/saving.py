"""A response, as it is kept."""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.engine.prepare.plan import Plan
from antiphon.engine.steering import Steering
from antiphon.guard.offload import offload
from antiphon.protocol.item import Item
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.store.activity import ActivityRow
from antiphon.store.items import ItemRow
from antiphon.store.responses import ResponseRow
from antiphon.store.store import Store
from antiphon.store.successions import Succession


async def save(
    store: Store, plan: Plan, response: Response, ended: ActivityRow, steering: Steering | None = None
) -> ResponseRow:
    """Keep the finished response of a plan, and its activity with it; durable when this returns what is kept.
    With `steering` its successor is kept too, as it begins."""
    request, context = plan.request, plan.context
    kept = context.items if context.history_unsaved else context.input
    row = ResponseRow(
        id=response.id,
        created_at=response.created_at,
        json=without_output(response),
        input=await offload(context.size, rows, kept),
        output=rows(response.output),
        previous_response_id=None if context.history_unsaved else request.previous_response_id,
        conversation_id=None if response.status == "failed" else request.conversation_id,
    )
    successor = steering.successor if steering is not None else None
    if steering is None or not (steering.begun or successor):
        await store.responses.save(plan.project, row, ended)
    else:
        beginning = successor.row if successor is not None else None
        whole = Succession(row=row, ended=ended, begun=steering.begun, successor=beginning)
        await store.successions.save(plan.project, whole)
    return row


def accepted_row(plan: Plan, response: Response) -> ResponseRow:
    """A response that waits for its run in the background."""
    return ResponseRow(
        id=response.id,
        created_at=response.created_at,
        json=without_output(response),
        input=rows(plan.context.input),
        output=(),
        previous_response_id=plan.request.previous_response_id,
        conversation_id=plan.request.conversation_id,
    )


def without_output(response: Response) -> bytes:
    """A response as it is stored, apart from its items."""
    return encode(replace(response, output=[]))


def rows(items: Sequence[Item]) -> Sequence[ItemRow]:
    return [ItemRow(item.id or "", encode(item)) for item in items]
