"""Tools that the model's server runs itself (`hosted` of its backend).

In a response such a tool stands where the tool of this server would: the request is checked, and its entry
shown, in the same way. What the model's server does becomes items of ours. The id of each proves whose server
made it, so that nobody can have it go on with what is another project's.
"""

import hmac
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from antiphon.model import Function, Hosted, HostedPart, Message
from antiphon.protocol.hosted_items import CodeInterpreterCall, is_whole
from antiphon.protocol.item import Item, NewId, item_type
from antiphon.protocol.tools import (
    AutoContainer,
    CodeInterpreterTool,
    ImageGenerationTool,
    ImageMask,
    WebSearch20250826Tool,
    WebSearchPreview20250311Tool,
    WebSearchPreviewTool,
    WebSearchTool,
)
from antiphon.protocol.tools import Tool as WireTool
from antiphon.protocol.wire import encode
from antiphon.stream.filters import TextFilter
from antiphon.tools.base import GivenFile, Tool, ToolCall
from antiphon.tools.context import Hosting
from antiphon.tools.refused import RefusedCall

SIGNED_AS = "item of a model's server"
_SIGNED = 24
"""How many hex digits of an id are its signature; those before it are the response's run and a number."""
_KINDS: dict[type[WireTool], str] = {
    WebSearchTool: "web_search",
    WebSearch20250826Tool: "web_search",
    WebSearchPreviewTool: "web_search",
    WebSearchPreview20250311Tool: "web_search",
    CodeInterpreterTool: "code_interpreter",
    ImageGenerationTool: "image_generation",
}
Words = Callable[[Item], Sequence[Message] | None]


def hosted_kind(wire: WireTool, hosting: Hosting) -> str | None:
    """Which of the tools that the model's server runs an entry asks for; None: it is not for that server.
    What names files, containers or secrets of this server is this server's to run, and so is what has a URL
    in it: none is passed on (`context/attachments.py`)."""
    kind = _KINDS.get(type(wire))
    if kind not in hosting.kinds:
        return None
    if isinstance(wire, CodeInterpreterTool):
        box = wire.container
        alone = isinstance(box, AutoContainer) and not (box.file_ids or box.network_policy)
    elif isinstance(wire, ImageGenerationTool):
        alone = wire.input_image_mask is None or _is_by_value(wire.input_image_mask)
    else:
        alone = True
    return kind if alone else None


def _is_by_value(mask: ImageMask) -> bool:
    return not mask.file_id and (mask.image_url or "")[:5].lower() == "data:"


class UpstreamTool(Tool):
    """Such a tool, in one response. `here`: the same tool of this server, for models in the place of this one
    whose servers do not have it. `words`: how an item reads that a server does not get back."""

    executor = "server"

    def __init__(self, wire: WireTool, kind: str, here: Tool, hosting: Hosting, words: Words) -> None:
        self._kind = kind
        self._entry = msgspec.to_builtins(wire)
        self._here = here
        self._hosting = hosting
        self._words = words
        self._ran_here = False
        self.takes_pictures = here.takes_pictures
        self.takes_files = here.takes_files

    @property
    def _runs_here(self) -> bool:
        return self._here.unavailable is None

    def functions(self) -> Sequence[Function]:
        hosted = Hosted(self._kind, self._entry, self._runs_here)
        return [replace(each, hosted=hosted) for each in self._here.functions() or (Function(self._kind),)]

    def call(self, name: str, call_id: str) -> ToolCall:
        """A call that a model makes whose server does not have the tool."""
        if not self._runs_here:
            return RefusedCall(name, call_id, ())
        self._ran_here = True
        return self._here.call(name, call_id)

    async def compile(self) -> None:
        await self._here.compile()

    async def ready(self) -> None:
        if self._runs_here:
            await self._here.ready()

    def take_files(self, files: Sequence[GivenFile]) -> None:
        self._here.take_files(files)

    def remember(self, item: Item) -> None:
        self._here.remember(item)

    def filter(self) -> TextFilter | None:
        return self._here.filter() if self._ran_here else None

    # ---- what the model's server does -------------------------------------------------------------------

    def named(self, item: Item, new_id: NewId, backend: str) -> Item:
        """An item that the server of a backend has begun, under an id of ours that proves it."""
        begin = new_id(item_type(item))[:-_SIGNED]
        return replace(item, id=begin + self._signature(begin, item, backend))

    def part(self, item: Item, backend: str) -> HostedPart | None:
        """What came of it, for the turns that follow; None: nothing that the server would take back."""
        return HostedPart(item, backend, tuple(self._words(item) or ())) if is_whole(item) else None

    def read(self, item: Item) -> Sequence[Message] | None:
        backend = self._hosting.backend
        part = self.part(item, backend) if self._proves(item, backend) else None
        return None if part is None else (Message("assistant", parts=(part,)),)

    def _proves(self, item: Item, backend: str) -> bool:
        begin, signature = (item.id or "")[:-_SIGNED], (item.id or "")[-_SIGNED:]
        return hmac.compare_digest(signature.encode(), self._signature(begin, item, backend).encode())

    def _signature(self, begin: str, item: Item, backend: str) -> str:
        container = item.container_id if isinstance(item, CodeInterpreterCall) else None
        return self._hosting.sign(encode([begin, backend, container]))[:_SIGNED]
