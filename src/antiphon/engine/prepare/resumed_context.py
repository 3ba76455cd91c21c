"""The context of a background response that goes on with the output that it has."""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.engine.histories import History
from antiphon.engine.prepare.interrupted import finished
from antiphon.engine.prepare.request_context import RequestContext, call_ids
from antiphon.engine.prepare.run_request import RunRequest
from antiphon.protocol.item import Item
from antiphon.protocol.items import decode_stored
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import Response
from antiphon.protocol.tools import ContainerReference, ShellTool
from antiphon.protocol.wire import encode
from antiphon.store.runs import Context as Stored


def resumed_context(accepted: RunRequest, stored: Stored, response: Response) -> RequestContext:
    """What was accepted, as it is stored."""
    history = [decode_stored(row) for row in stored.history]
    own = [decode_stored(row) for row in stored.input]
    said = finished(response.output)
    return RequestContext(
        past=History(tuple(history), words=False),
        input=own,
        prompt=_prompt_of(accepted.request, response),
        trigger=accepted.trigger,
        only_compacts=accepted.only_compacts,
        output_so_far=said,
        inline_tools=accepted.inline_tools,
        size=len(history) + len(own) + len(said),
        call_ids=call_ids((*history, *own, *said)),
    )


def in_containers(accepted: RunRequest, response: Response) -> RunRequest:
    """What was accepted, with its shells in the containers that the response has named."""
    request = accepted.request
    shells = [tool for tool in response.tools if isinstance(tool, ShellTool)]
    named = next((tool for tool in shells if isinstance(tool.environment, ContainerReference)), None)
    if named is None:
        return accepted
    tools = [named if isinstance(tool, ShellTool) else tool for tool in request.tools or ()]
    return replace(accepted, request=replace(request, tools=tools))


def _prompt_of(request: CreateResponse, response: Response) -> Sequence[Item] | None:
    """The messages of the request's prompt template when the response began."""
    if request.prompt is None or not isinstance(response.instructions, list):
        return None
    return [decode_stored(encode(item)) for item in response.instructions]
