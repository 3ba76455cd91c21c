"""Calls that need consent: which the user has approved, and what the model reads of those that he has not.

A request for consent counts when this server made it. The client may keep it instead of us, so it proves
itself: its id is a certificate of what it asks for, in this project; nobody else can make one, or change what
it says.
"""

import hmac
from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.context.agents import named
from antiphon.context.seal import Seal
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse, McpCall
from antiphon.protocol.item import Item
from antiphon.protocol.wire import encode
from antiphon.tools.provider import ApprovedCall
from antiphon.tools.toolbox import Toolbox

REQUEST = "approval request"
"""What ids of requests are signed as."""
_SIGNED = 24
"""How many hex digits of an id are its signature; those before it are the response's run and a number."""


class Certificates:
    """Makes the ids of a project's requests for consent, and knows them again."""

    def __init__(self, seal: Seal, project: str) -> None:
        self._seal = seal
        self._project = project

    def certified(self, request: Item) -> Item:
        """The request, with an id that proves it."""
        assert isinstance(request, McpApprovalRequest), "only these ask for consent"
        begin = (request.id or "")[:-_SIGNED]
        return replace(request, id=begin + self._signature(begin, request))

    def proves(self, request: McpApprovalRequest) -> bool:
        """Whether the request was made here, for this project, and asks for what it asked then."""
        begin, signature = (request.id or "")[:-_SIGNED], (request.id or "")[-_SIGNED:]
        return hmac.compare_digest(signature.encode(), self._signature(begin, request).encode())

    def _signature(self, begin: str, request: McpApprovalRequest) -> str:
        content = encode([begin, request.server_label, request.name, request.arguments])
        return self._seal.sign(self._project, REQUEST, content)[:_SIGNED]


def check_approvals(history: Sequence[Item], given: Sequence[Item]) -> None:
    """Every answer that was given has its request, or the call that came of it. Raises InvalidRequest."""
    asked = _requests((*history, *given)).keys() | _made((*history, *given))
    for index, item in enumerate(given):
        if isinstance(item, McpApprovalResponse) and item.approval_request_id not in asked:
            raise _unknown(item, index)


def approved_in(
    toolbox: Toolbox, certificates: Certificates, history: Sequence[Item], given: Sequence[Item]
) -> Sequence[ApprovedCall]:
    """The calls that the input approves, and that were not made yet. Raises InvalidRequest for a request that
    was not made here, and when nobody can make the call."""
    asked = _requests((*history, *given))
    made = _made((*history, *given))
    found: dict[str, ApprovedCall] = {}
    for index, item in enumerate(given):
        if isinstance(item, McpApprovalResponse) and item.approve and item.approval_request_id not in made:
            request = asked[item.approval_request_id]
            if not certificates.proves(request):
                raise _unknown(item, index, ": the request with this id is not one that this server made")
            found[item.approval_request_id] = _call(toolbox, request, index)
    return list(found.values())


def decided(items: Sequence[Item]) -> Sequence[Item]:
    """The items as the model reads them: of the requests, those that were denied. What was approved reads
    from its call, and what is still open was never said."""
    denied = {
        item.approval_request_id
        for item in items
        if isinstance(item, McpApprovalResponse) and not item.approve
    }
    return [item for item in items if not isinstance(item, McpApprovalRequest) or item.id in denied]


def _call(toolbox: Toolbox, request: McpApprovalRequest, index: int) -> ApprovedCall:
    if not toolbox.has_server(request.server_label):
        raise InvalidRequest(
            f"The call that was approved cannot be made: no tool has the server_label "
            f"'{request.server_label}'.",
            param=f"input[{index}]",
        )
    return ApprovedCall(
        request.id or "", request.server_label, request.name, request.arguments, named(request)
    )


def _unknown(answer: McpApprovalResponse, index: int, why: str = "") -> InvalidRequest:
    return InvalidRequest(
        f"No approval request found with id '{answer.approval_request_id}'{why}.", param=f"input[{index}]"
    )


def _requests(items: Sequence[Item]) -> dict[str, McpApprovalRequest]:
    return {item.id or "": item for item in items if isinstance(item, McpApprovalRequest)}


def _made(items: Sequence[Item]) -> set[str]:
    """The requests whose calls were made."""
    return {item.approval_request_id or "" for item in items if isinstance(item, McpCall)}
