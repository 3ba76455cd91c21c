"""Images, files and sound that items point to, made into what a model reads.

Everything reaches the model by value. A URL of a client's is fetched here, guarded (`fetch`), and never
passed on: many model servers cannot fetch, and those that can stand where strangers should not send them.
What is stored stays as it was sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from antiphon.context.images import checked
from antiphon.context.loading import MAX_ATTACHMENT, Loader, Shown, StoredFiles
from antiphon.context.originals import Original, originals
from antiphon.context.sight import Compression, Sight, check, check_mask, looking
from antiphon.guard.offload import offload
from antiphon.model import Capabilities
from antiphon.protocol.client_items import ComputerCallOutput, CustomToolCallOutput, FunctionCallOutput
from antiphon.protocol.content import (
    CacheBreakpoint,
    ComputerScreenshot,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
)
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item
from antiphon.protocol.items import InputMessage
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.pictures import Pictures
from antiphon.web.fetch import Fetcher

AT_ONCE = 8
MOST = 2_000
"""Attachments of a request's whole context."""
MAX_TOTAL = 256 * 2**20
"""Bytes of all that one request has us fetch or read."""

_Key = tuple[object, ...]


class Attached:
    """What the attachments of some items are. Calling it with an item gives the item as a model reads it."""

    def __init__(self) -> None:
        self.found: dict[_Key, Sequence[Shown]] = {}

    def __call__(self, item: Item) -> Item:
        if not self.found:
            return item
        if isinstance(item, InputMessage) and not isinstance(item.content, str):
            return replace(item, content=tuple(self._parts(item.content)))
        if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and not isinstance(item.output, str):
            return replace(item, output=tuple(self._parts(item.output)))
        if isinstance(item, ComputerCallOutput):
            return replace(item, output=self._screenshot(item.output))
        return item

    def _parts(self, parts: Sequence[Any]) -> Iterator[Any]:
        for part in parts:
            shown = self.found.get(_key(part), (part,))
            given = getattr(part, "prompt_cache_breakpoint", None)
            yield from shown if given is None else _ended(shown, given)

    def _screenshot(self, shot: ComputerScreenshot) -> ComputerScreenshot:
        for image in self.found.get(_key(shot), ()):
            if isinstance(image, InputImage):
                return replace(shot, image_url=image.image_url)
        return shot


Attach = Callable[[Sequence[Item], Sequence[Item]], Awaitable[Attached]]
"""`Attachments.resolve`, of items and given ones, for the model of a response."""


def _ended(shown: Sequence[Any], given: CacheBreakpoint) -> Sequence[Any]:
    """What is shown of a part behind which the prompt is worth caching."""
    return [*shown[:-1], *(replace(last, prompt_cache_breakpoint=given) for last in shown[-1:])]


class Attachments:
    """Resolves attachments. One for each server process."""

    def __init__(
        self,
        files: StoredFiles,
        fetcher: Fetcher,
        documents: Documents,
        pictures: Pictures,
        most: int = MAX_TOTAL,
    ) -> None:
        self._files = files
        self._fetcher = fetcher
        self._documents = documents
        self._pictures = pictures
        self._most = most

    async def resolve(
        self,
        project: str,
        items: Sequence[Item],
        given: Sequence[Item],
        can: Capabilities,
        unseen: InputText | None = None,
        compression: Compression = "disabled",
    ) -> Attached:
        """What the items have attached; `given` are those of the request itself. `unseen`: what a model that
        reads no images reads in place of each. `compression`: whether images are made as small as their
        `detail` allows. Raises InvalidRequest."""
        attached = Attached()
        if not items:
            return attached
        wanted = await offload(len(items), _wanted, items, given)
        if len(wanted) > MOST:
            raise InvalidRequest(
                f"A request can have {MOST} images, files and sounds at most.",
                param="input",
                code="array_above_max_length",
            )
        if wanted:
            loader = self._loader(project, can, unseen, compression)
            turns = asyncio.Semaphore(AT_ONCE)

            async def load(key: _Key, part: Any, path: str) -> None:
                async with turns:
                    attached.found[key] = await loader.load(part, path)

            try:
                async with asyncio.TaskGroup() as tasks:
                    for key, (part, path) in wanted.items():
                        tasks.create_task(load(key, part, path))
            except BaseExceptionGroup as faults:
                raise faults.exceptions[0] from None
        return attached

    async def originals(self, project: str, items: Sequence[Item], can: Capabilities) -> Sequence[Original]:
        """The files and images that the items have attached, each once, with their names."""
        wanted = await offload(len(items), _wanted, items, ())
        parts = [part for part, _ in wanted.values() if isinstance(part, InputFile | InputImage)]
        return await originals(parts, self._loader(project, can))

    async def image(self, project: str, part: InputImage, param: str) -> bytes:
        """The bytes of an image that is not among the items. Raises InvalidRequest or Unavailable, which
        names `param`."""
        data = await self._loader(project, Capabilities()).original(part, param)
        checked(data, param, MAX_ATTACHMENT)
        with looking(param):
            check(await self._pictures.look(data, project), param)
        return data

    async def mask(self, project: str, part: InputImage, param: str) -> bytes:
        """The same for one that says which part of another one changes."""
        data = await self.image(project, part, param)
        with looking(param):
            check_mask(await self._pictures.look(data, project), param)
        return data

    def _loader(
        self,
        project: str,
        can: Capabilities,
        unseen: InputText | None = None,
        compression: Compression = "disabled",
    ) -> Loader:
        sight = Sight(self._pictures, project, can.smallest_image, compression)
        return Loader(self._files, self._fetcher, self._documents, project, can, self._most, sight, unseen)


def _wanted(items: Sequence[Item], given: Sequence[Item]) -> dict[_Key, tuple[Any, str]]:
    """The attachments, each once, with the path at which faults are reported: of the past, it is all of
    `input`."""
    places = {id(item): f"input[{index}]" for index, item in enumerate(given)}
    found: dict[_Key, tuple[Any, str]] = {}
    for item in items:
        place = places.get(id(item))
        for part, path in _attachments(item):
            if key := _key(part):
                found[key] = part, f"{place}.{path}" if place else ""
    return found


def _attachments(item: Item) -> Iterator[tuple[Any, str]]:
    if isinstance(item, InputMessage):
        if not isinstance(item.content, str):
            yield from ((part, f"content[{index}]") for index, part in enumerate(item.content))
    elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        if not isinstance(item.output, str):
            yield from ((part, f"output[{index}]") for index, part in enumerate(item.output))
    elif isinstance(item, ComputerCallOutput):
        yield item.output, "output"


def _key(part: object) -> _Key:
    """What tells attachments apart; empty for what is none."""
    if isinstance(part, InputImage | ComputerScreenshot):
        return ("image", part.file_id, part.image_url, part.detail)
    if isinstance(part, InputFile):
        return ("file", part.file_id, part.file_url, part.file_data, part.filename, part.detail)
    if isinstance(part, InputAudio):
        return ("audio", part.input_audio.data)
    return ()
