"""/v1/moderations (endpoints.md section 7)."""

from collections.abc import Sequence
from typing import cast

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route

from antiphon.api import parsing
from antiphon.api.admission import admit
from antiphon.api.body import json
from antiphon.api.disconnect import connected
from antiphon.api.services import project, services
from antiphon.context.attachments import Attachments
from antiphon.context.transcript import input_part
from antiphon.model import Capabilities, ImagePart, TextPart
from antiphon.model.moderation import Content
from antiphon.protocol.content import InputImage, InputText
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.ids import new_moderation_id
from antiphon.protocol.items import InputMessage
from antiphon.protocol.moderation import ImageToJudge, ModerationsRequest, TextToJudge

Part = str | TextToJudge | ImageToJudge


async def create(request: Request) -> HttpResponse:
    """POST /moderations"""
    held = services(request)
    asked = await parsing.read_as(request, ModerationsRequest)
    if held.moderator is None:
        raise InvalidRequest(
            "Nothing judges on this server: base_url of [moderation] names a server that does, or judge a "
            "model.",
            code="moderation_not_set_up",
        )
    held.moderator.check_model(asked.model, "model")
    await admit(request, asked.model, 0, 0)
    with connected(request.scope):
        contents = await _contents(asked.input, held.attachments, project(request))
        judged = await held.moderator.judge(contents)
    return json({"id": new_moderation_id(), "model": judged.model, "results": judged.verdicts})


async def _contents(given: str | list[Part], attachments: Attachments, project: str) -> Sequence[Content]:
    """What is judged, each by itself: every text, or all parts together. Raises InvalidRequest."""
    parts = [given] if isinstance(given, str) else given
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return [(TextPart(text),) for text in texts]
    if texts:
        raise InvalidRequest("'input' has either texts or parts, and not both.", param="input")
    message = InputMessage(role="user", content=tuple(_as_sent(part) for part in parts))
    try:
        attached = await attachments.resolve(project, [message], [message], Capabilities())
    except InvalidRequest as fault:
        raise InvalidRequest(fault.message, param="input", code=fault.code) from fault
    content = cast(InputMessage, attached(message)).content
    read = [input_part(part) for part in content if not isinstance(part, str)]
    return [tuple(part for part in read if isinstance(part, TextPart | ImagePart))]


def _as_sent(part: Part) -> InputText | InputImage:
    """As a part of a message, whose image is fetched here, guarded, and never by the judge."""
    if isinstance(part, ImageToJudge):
        return InputImage(image_url=part.image_url.url)
    return InputText(text=part.text if isinstance(part, TextToJudge) else part)


routes: list[BaseRoute] = [Route("/v1/moderations", create, methods=["POST"])]
