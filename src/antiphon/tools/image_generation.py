"""`image_generation`: pictures, made by the server."""

from collections.abc import Sequence

from antiphon.model import ImagePart, Message
from antiphon.protocol.hosted_items import ImageGenerationCall
from antiphon.tools.messages import answered, called


def call_to_messages(item: ImageGenerationCall) -> Sequence[Message]:
    """The picture itself comes back, so that the model can speak of it or change it."""
    call_id = item.id or ""
    call = called(call_id, "image_generation", {"prompt": item.revised_prompt or ""})
    if not item.result:
        return (call, answered(call_id, item.status or "failed"))
    picture = ImagePart(f"data:image/{item.output_format or 'png'};base64,{item.result}")
    return (call, answered(call_id, (picture,)))
