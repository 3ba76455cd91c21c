"""The pictures of a conversation that `image_generation` may change.

Those since the model last spoke; else the newest. What is attached is loaded when it is needed.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from antiphon.protocol.content import InputImage
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item
from antiphon.protocol.items import (
    AssistantMessage,
    CustomToolCallOutput,
    FunctionCallOutput,
    ImageGenerationCall,
    InputMessage,
)
from antiphon.tools.context import Load

MOST = 16
"""Pictures that are changed at once: as many as the images API takes."""


class _Shown(NamedTuple):
    """A picture, and whether the model has spoken since."""

    read: Callable[[], Awaitable[bytes]]
    turn: int


class ImageContext:
    """It goes on through all turns of a response."""

    def __init__(self, load: Load, project: str) -> None:
        self._load = load
        self._project = project
        self._turn = 0
        self._shown: list[_Shown] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._shown)

    def remember(self, item: Item) -> None:
        """Take note of an item of the context."""
        if isinstance(item, AssistantMessage):
            self._turn += 1
        elif isinstance(item, ImageGenerationCall) and item.result:
            self.show(item.result)
        elif isinstance(item, InputMessage):
            self._attached(item.content)
        elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
            self._attached(item.output)

    def show(self, data: str) -> None:
        """A picture was made, here or before; base64."""

        async def read() -> bytes:
            try:
                return b64decode(data)
            except ValueError:
                raise InvalidRequest("The result of an image_generation_call is not base64.") from None

        self._shown.append(_Shown(read, self._turn))

    def begin(self) -> None:
        """What is shown from here on is newer than all before."""
        self._turn += 1

    async def newest(self) -> Sequence[bytes]:
        """The pictures that are to be changed. Raises InvalidRequest for one that cannot be had."""
        if not self._shown:
            return ()
        turn = self._shown[-1].turn
        newest = [shown for shown in self._shown if shown.turn == turn]
        if turn != self._turn:
            newest = newest[-1:]
        return [await shown.read() for shown in newest[-MOST:]]

    def _attached(self, content: object) -> None:
        for part in content if isinstance(content, list | tuple) else ():
            if isinstance(part, InputImage):
                read = partial(self._load, self._project, part, "input")
                self._shown.append(_Shown(read, self._turn))
