"""`image_generation`: pictures, made and changed by the server.

The model says what is to be seen, and whether that changes a picture that is there; the request has said how
pictures are to be. A picture is shown to the user as it is. The model reads it as a picture, if it can, and
never as text.
"""

from collections.abc import Sequence
from typing import Any

from antiphon.model import Function, Message
from antiphon.model.image import ImageRequest
from antiphon.protocol.content import InputImage
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import ImageGenerationCall
from antiphon.protocol.item import Item
from antiphon.protocol.tools import ImageGenerationTool
from antiphon.tools.base import Tool
from antiphon.tools.context import Images, ToolContext
from antiphon.tools.image_call import ImageCall, ImageWork
from antiphon.tools.image_context import ImageContext
from antiphon.tools.image_options import options
from antiphon.tools.image_parts import shown
from antiphon.tools.messages import answered, called
from antiphon.tools.unsupported import UnavailableTool

NAME = "image_generation"
MASK = "input_image_mask"
NO_SERVER = "this server makes no pictures: base_url and model of [images] say who does"

_PROMPT = {"type": "string", "description": "What is to be seen, in all detail"}
_EDIT = {
    "type": "boolean",
    "description": "true: change the newest picture of the conversation; false: make a new one",
}
_MAKES = "Makes a picture and shows it to the user."
_CHANGES = "Changes the newest picture of the conversation, and shows it to the user."


def resolve(tool: ImageGenerationTool, context: ToolContext) -> Tool:
    """Raises InvalidRequest."""
    asked = options(tool, context.place)
    images = context.resources.images
    return UnavailableTool(NO_SERVER) if images is None else ImageGeneration(tool, asked, context, images)


class ImageGeneration(Tool):
    """The tool, in one response."""

    executor = "server"

    def __init__(
        self, tool: ImageGenerationTool, asked: dict[str, Any], context: ToolContext, images: Images
    ) -> None:
        """`asked`: what is said of pictures (`image_options`)."""
        self._tool = tool
        self._asked = asked
        self._place = context.place
        self._images = images
        self._project = context.project
        self._sees = context.images
        self._context = ImageContext(images.load, context.project)
        self._mask: bytes | None = None
        self.takes_pictures = tool.action != "generate"
        model = tool.model
        self._model = model if model is not None and images.server.serves(model) else None

    async def check(self) -> None:
        if self._tool.action == "edit" and not self._context:
            raise InvalidRequest(
                "There is no picture to change: with the action 'edit', the input or what it continues must "
                "have one. With 'auto' a picture is made where there is none.",
                param=f"{self._place}.action",
                code="invalid_value",
            )
        await self._load_mask()
        self.unheeded = await self._unheeded()

    def functions(self) -> Sequence[Function]:
        properties: dict[str, Any] = {"prompt": _PROMPT}
        about = _CHANGES if self._tool.action == "edit" else _MAKES
        if self._tool.action in (None, "auto") and self._context:
            properties["edit"] = _EDIT
        return (Function(NAME, about, {"type": "object", "properties": properties, "required": ["prompt"]}),)

    def call(self, name: str, call_id: str) -> ImageCall:
        return ImageCall(self._work(), name, call_id)

    def remember(self, item: Item) -> None:
        self._context.remember(item)

    def _work(self) -> ImageWork:
        return ImageWork(
            server=self._images.server,
            context=self._context,
            action=self._tool.action or "auto",
            ask=self._request,
            sees=self._sees,
        )

    async def _request(self, prompt: str, pictures: Sequence[bytes]) -> ImageRequest:
        await self._load_mask()
        return ImageRequest(
            prompt=prompt,
            model=self._model,
            options=self._asked,
            pictures=pictures,
            mask=self._mask if pictures else None,
        )

    async def _load_mask(self) -> None:
        """Raises InvalidRequest."""
        mask = self._tool.input_image_mask
        if mask is not None and self._mask is None:
            part = InputImage(file_id=mask.file_id, image_url=mask.image_url)
            param = f"{self._place}.{MASK}.{'file_id' if mask.file_id else 'image_url'}"
            self._mask = await self._images.load_mask(self._project, part, param)

    async def _unheeded(self) -> Sequence[str]:
        """What the image server does not take of what was asked for."""
        names = [*self._asked, *([MASK] if self._tool.input_image_mask is not None else ())]
        edits = {"generate": False, "edit": True}.get(self._tool.action or "auto")
        found = list(await self._images.server.unknown(names, edits=edits))
        return ["model", *found] if self._tool.model is not None and self._model is None else found


# ---- past items -------------------------------------------------------------------------------------

_CUT = "Error: the call was interrupted. A picture may have been made, but the user has not seen it."
_UNKNOWN = "[The picture is not known any more.]"


def call_to_messages(item: ImageGenerationCall, images: bool = True) -> Sequence[Message]:
    """The picture itself comes back, so that the model can speak of it or change it; in words where it reads
    no images: the user has seen it."""
    call_id = item.id or ""
    call = called(call_id, NAME, {"prompt": item.revised_prompt or ""})
    if item.result:
        return (call, answered(call_id, shown([item.result], images)))
    return (call, answered(call_id, _outcome(item)))


def _outcome(item: ImageGenerationCall) -> str:
    """Of a call without a picture."""
    if item.error is not None:
        return f"Error: the picture could not be made. {item.error.message}"
    return _CUT if item.status == "failed" else _UNKNOWN
