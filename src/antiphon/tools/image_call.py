"""A call of `image_generation`. Each picture is an item; the first is the call's own."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, NamedTuple, cast

import structlog
from msgspec import UNSET, Struct

from antiphon.model import TextPart
from antiphon.model.image import (
    ImageFault,
    ImageLook,
    ImageRequest,
    ImageServer,
    ImageTokens,
    PartialPicture,
    Picture,
    Pictures,
)
from antiphon.protocol import events
from antiphon.protocol.errors import ApiError
from antiphon.protocol.hosted_items import ImageError, ImageGenerationCall, ModerationDetails
from antiphon.protocol.response import CachedImageTokens, ImageUsage, InputImageTokens
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, ToolResult, Write
from antiphon.tools.emitter import Emitter
from antiphon.tools.image_context import ImageContext
from antiphon.tools.image_parts import shown
from antiphon.tools.partial import decode

_LONGEST = 32_000
"""Characters of a prompt, as the images API has it."""
_QUALITIES = ("low", "medium", "high", "xhigh", "max", "auto")
_BACKGROUNDS = ("transparent", "opaque", "auto")

log = structlog.get_logger()

Stage = Literal["input", "output", "unknown"]


class ImageWork(Struct, frozen=True, kw_only=True):
    """What calls of one response work with."""

    server: ImageServer
    context: ImageContext
    action: Literal["generate", "edit", "auto"]
    ask: Callable[[str, Sequence[bytes]], Awaitable[ImageRequest]]
    """A request for a picture with this prompt, or for the change of some. Raises InvalidRequest."""
    sees: bool
    """Whether the model reads images."""


class _Asked(NamedTuple):
    """What the model has written."""

    prompt: str
    edit: bool
    fault: str = 'It takes what is to be seen: {"prompt": "..."}'
    """Why there is no prompt, if there is none."""


class ImageCall(ServerCall):
    """A picture that the model wants made or changed."""

    def __init__(self, work: ImageWork, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._work = work

    def begin(self, machine: Machine) -> Write | None:
        self.item = open_item(machine, _begun(machine.new_id("image_generation_call")))
        return None

    async def run(self, emit: Emitter) -> ToolResult:
        asked = _asked(decode(self.arguments), self._work.action)
        await emit(events.ImageInProgress)
        try:
            if not asked.prompt:
                raise ImageFault(asked.fault, type="image_generation_user_error")
            request = await self._request(asked)
            await emit(events.ImageGenerating)
            made = await self._made(emit, request)
        except ImageFault as fault:
            await emit.done(status="failed", result=None, error=_error(fault))
            return ToolResult((TextPart(f"Error: the picture could not be made. {fault}"),))
        await self._show(emit, made, asked.prompt)
        return ToolResult(shown([picture.data for picture in made.pictures], self._work.sees))

    async def _request(self, asked: _Asked) -> ImageRequest:
        """Raises ImageFault."""
        work = self._work
        try:
            pictures = await work.context.newest() if asked.edit else ()
            if asked.edit and not pictures:
                raise ImageFault("There is no picture to change.", type="image_generation_user_error")
            return await work.ask(asked.prompt, pictures)
        except ApiError as fault:
            raise ImageFault(fault.message, type=fault.type, code=fault.code, param=fault.param) from fault

    async def _made(self, emit: Emitter, request: ImageRequest) -> Pictures:
        """Raises ImageFault."""
        try:
            async with aclosing(self._work.server.make(request)) as making:
                async for news in making:
                    if isinstance(news, Pictures):
                        return news
                    await _show_partial(emit, news)
        except (ImageFault, ApiError):
            raise
        except Exception as fault:
            log.exception("image server failed")
            raise ImageFault("The image server's answer could not be read.") from fault
        raise ImageFault("The image server gave no picture.")

    async def _show(self, emit: Emitter, made: Pictures, prompt: str) -> None:
        if made.tokens is not None:
            await emit.count_images(usage_of(made.tokens))
        self._work.context.begin()
        for number, picture in enumerate(made.pictures):
            each = emit
            if number:
                each = await emit.add(_begun(emit.new_id("image_generation_call")))
                await each(events.ImageInProgress)
                await each(events.ImageGenerating)
            await each(events.ImageCompleted)
            await each.done(status="completed", result=picture.data, **_members(picture, prompt))
            self._work.context.show(picture.data)


def _begun(item_id: str) -> ImageGenerationCall:
    return ImageGenerationCall(id=item_id, status="in_progress", result=UNSET)


async def _show_partial(emit: Emitter, partial: PartialPicture) -> None:
    await emit(
        events.PartialImage,
        partial_image_index=partial.index,
        partial_image_b64=partial.data,
        **look_members(partial.look),
    )


def _members(picture: Picture, prompt: str) -> dict[str, Any]:
    return {**look_members(picture.look), "revised_prompt": picture.revised_prompt or prompt}


def look_members(look: ImageLook) -> dict[str, Any]:
    """As items and events may say it."""
    return {
        "size": look.size,
        "quality": look.quality if look.quality in _QUALITIES else "auto",
        "background": look.background if look.background in _BACKGROUNDS else "auto",
        "output_format": look.output_format,
    }


def _error(fault: ImageFault) -> ImageError:
    details = None
    if fault.categories is not None:
        stage = fault.stage if fault.stage in ("input", "output") else "unknown"
        details = ModerationDetails(categories=list(fault.categories), moderation_stage=cast(Stage, stage))
    return ImageError(
        type=fault.type, message=str(fault), code=fault.code, param=fault.param, moderation_details=details
    )


def usage_of(tokens: ImageTokens) -> ImageUsage:
    """What pictures took, as a response shows it."""
    cached = tokens.cached
    kinds = cached.image_and_text if cached is not None else None
    return ImageUsage(
        cached_tokens=cached.all if cached is not None else None,
        cached_tokens_details=CachedImageTokens(*kinds) if kinds is not None else None,
        input_tokens=tokens.input,
        input_tokens_details=InputImageTokens(image_tokens=tokens.input_image, text_tokens=tokens.input_text),
        output_tokens=tokens.output,
        output_tokens_details=InputImageTokens(
            image_tokens=tokens.output_image, text_tokens=tokens.output_text
        ),
        total_tokens=tokens.total,
    )


def _asked(written: dict[str, Any] | str, action: str) -> _Asked:
    """What a model wants. Small ones give the prompt another name."""
    if isinstance(written, str):
        return _Asked("", edit=False, fault=written)
    texts = [written.get("prompt"), *written.values()]
    prompt = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")
    wants = written.get("edit") in (True, "true", "True", 1)
    return _Asked(prompt[:_LONGEST], action == "edit" or (action == "auto" and wants))
