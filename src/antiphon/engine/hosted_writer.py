"""What a tool does that the model's server runs itself, written as items: their events come in the order that
they have on the real API, whatever of it the server tells."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from antiphon import model
from antiphon.context.thought import Source
from antiphon.model import HostedPart
from antiphon.model.image import PartialPicture
from antiphon.protocol import events
from antiphon.protocol.events import ItemEvent
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    ImageGenerationCall,
    OpenPage,
    Search,
    WebSearchCall,
)
from antiphon.protocol.item import Item
from antiphon.stream.items import OpenText, open_item
from antiphon.stream.machine import Machine, OpenItem
from antiphon.tools.image_call import look_members
from antiphon.tools.toolbox import Toolbox
from antiphon.tools.upstream import UpstreamTool

_Stages = tuple[type[ItemEvent], type[ItemEvent], type[ItemEvent]]
_STAGES: Mapping[type[Item], _Stages] = {
    WebSearchCall: (events.WebSearchInProgress, events.WebSearchSearching, events.WebSearchCompleted),
    CodeInterpreterCall: (events.CodeInProgress, events.CodeInterpreting, events.CodeCompleted),
    ImageGenerationCall: (events.ImageInProgress, events.ImageGenerating, events.ImageCompleted),
}
"""It begins, it works, it went well."""

Working = model.HostedCode | model.HostedWorking | model.HostedPicture
"""What happens to a call between its start and its end."""


class HostedWriter:
    """Writes those of one turn. `source`: whose server runs them."""

    def __init__(self, machine: Machine, toolbox: Toolbox, source: Callable[[], Source]) -> None:
        self.begun = 0
        self._machine = machine
        self._toolbox = toolbox
        self._source = source
        self._calls: dict[int, _Call] = {}
        """Those that have not ended."""

    def start(self, delta: model.HostedStarted) -> None:
        tool = self._toolbox.upstream(delta.item)
        if tool is not None:
            self.begun += 1
            backend, _ = self._source()
            item = tool.named(_begun(delta.item), self._machine.new_id, backend)
            self._calls[delta.index] = _Call(self._machine, item, tool, backend)

    def work(self, delta: Working) -> None:
        call = self._calls.get(delta.index)
        if call is None:
            return
        if isinstance(delta, model.HostedCode):
            call.write(delta.text)
        elif isinstance(delta, model.HostedPicture):
            call.show(delta.picture)
        else:
            call.work()

    def end(self, delta: model.HostedEnded) -> HostedPart | None:
        """What of it counts for the turns that follow, if anything does."""
        call = self._calls.pop(delta.index, None)
        return None if call is None else call.end(delta.item)

    def close(self) -> None:
        """The answer is over: what the server has not ended nobody will."""
        for call in self._calls.values():
            call.handle.cut("The model's server ended its answer")
        self._calls = {}


class _Call:
    """One of them, from its beginning to its end."""

    def __init__(self, machine: Machine, item: Item, tool: UpstreamTool, backend: str) -> None:
        self.handle: OpenItem = open_item(machine, item)
        self._tool = tool
        self._backend = backend
        self._stages = _STAGES[type(item)]
        self._works = False
        self._emit(self._stages[0])

    def write(self, text: str) -> None:
        if isinstance(self.handle, OpenText) and not self._works:
            self.handle.write(text)

    def work(self) -> None:
        if self._works:
            return
        self._works = True
        if isinstance(self.handle, OpenText):
            self.handle.end()
        self._emit(self._stages[1])

    def show(self, picture: PartialPicture) -> None:
        if not isinstance(self.handle.item, ImageGenerationCall):
            return
        self.work()
        self._emit(
            events.PartialImage,
            partial_image_index=picture.index,
            partial_image_b64=picture.data,
            **look_members(picture.look),
        )

    def end(self, item: Item) -> HostedPart | None:
        if isinstance(item, CodeInterpreterCall):
            self._write_rest(item.code or "")
        completed = getattr(item, "status", None) == "completed"
        if completed:
            self.work()
            self._emit(self._stages[2])
        found = self._found(item)
        self.handle.finish(found)
        return self._tool.part(found, self._backend)

    def _write_rest(self, code: str) -> None:
        """Code that never came in pieces."""
        if code.startswith(self.handle.said):
            self.write(code[len(self.handle.said) :])

    def _found(self, item: Item) -> Item:
        """The item as it ends: with what its events have built, and under its own id."""
        built = self.handle.built()
        if isinstance(item, CodeInterpreterCall) and isinstance(built, CodeInterpreterCall):
            return replace(item, id=built.id, code=built.code, container_id=built.container_id)
        return replace(item, id=built.id)

    def _emit(self, kind: type[ItemEvent], **members: Any) -> None:
        self.handle.emit(kind(**self.handle.place, **members))


def _begun(item: Item) -> Item:
    """An item as it is added, of what its server says of it then."""
    if isinstance(item, WebSearchCall):
        action = item.action
        return WebSearchCall(
            status="in_progress", action=OpenPage() if isinstance(action, OpenPage) else Search()
        )
    if isinstance(item, CodeInterpreterCall):
        return replace(item, status="in_progress", code="", outputs=[])
    return ImageGenerationCall(status="in_progress", result=UNSET)
