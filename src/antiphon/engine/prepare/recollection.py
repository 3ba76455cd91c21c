"""What clients send back of a model's turns without what was sealed into them: it is found in the store, by
the ids of the items. A model's server may refuse a call whose signature is lost.

Clients that keep the context themselves send back the items that they were shown: with the reasoning, whose
sealed part is stored and not shown, or the calls alone.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.context.thought import Source
from antiphon.context.transcript import Recollect
from antiphon.engine.prepare.stored_items import stored_item
from antiphon.model import Opaque
from antiphon.protocol.item import Item
from antiphon.protocol.items import Reasoning, decode_stored
from antiphon.store.store import Store
from antiphon.stream.kinds import kind_of

_MOST = 64
"""Items that are looked up for one request: the newest, since servers insist on the turn that goes on."""
_NEAR = 8
"""How far before a call its reasoning may stand."""


class Recollection(Struct, frozen=True):
    """What was found."""

    sealed: dict[str, str] = {}
    """The encrypted content of reasoning items, by their ids."""
    calls: dict[str, Opaque] = {}
    """What goes back with calls, by their call_ids."""

    def attached(self, item: Item) -> Item:
        """A reasoning item with what was sealed into it."""
        sealed = self.sealed.get(item.id or "") if isinstance(item, Reasoning) else None
        return item if sealed is None else replace(item, encrypted_content=sealed)


class Recollecting:
    """Looks up the items of one request. `open` opens what is sealed; `source` is who reads it."""

    def __init__(self, store: Store, project: str, open: Recollect, source: Source) -> None:
        self._items = store.items
        self._project = project
        self._open = open
        self._source = source

    async def of(self, items: Sequence[Item]) -> Recollection:
        thoughts = [item for item in items if isinstance(item, Reasoning)]
        if not thoughts:
            return Recollection(calls=await self._calls(items))
        bare = [item for item in thoughts if item.id and item.encrypted_content is None]
        sealed = {}
        for item in bare[-_MOST:]:
            stored = await stored_item(await self._items.get(self._project, item.id or ""))
            if isinstance(stored, Reasoning) and stored.encrypted_content is not None:
                sealed[item.id or ""] = stored.encrypted_content
        return Recollection(sealed)

    async def _calls(self, items: Sequence[Item]) -> dict[str, Opaque]:
        calls = [item for item in items if item.id and kind_of(item).nature == "call"]
        found: dict[str, Opaque] = {}
        known: set[str] = set()
        for item in calls[-_MOST:]:
            call_id = str(getattr(item, "call_id", ""))
            thought = await self._thought_before(item.id or "", call_id)
            if thought is not None:
                sealed, opaque = thought
                # Calls of one turn share its reasoning, which goes back once.
                found[call_id] = Opaque(calls=opaque.calls) if sealed in known else opaque
                known.add(sealed)
        return found

    async def _thought_before(self, item_id: str, call_id: str) -> tuple[str, Opaque] | None:
        """The newest reasoning before a call that has something for it, with its encrypted content."""
        for row in await self._items.before(self._project, item_id, _NEAR):
            item = decode_stored(row)
            if kind_of(item).nature not in ("call", "speech"):
                return None
            sealed = item.encrypted_content if isinstance(item, Reasoning) else None
            thought = self._open(sealed) if sealed is not None else None
            opaque = thought.opaque_for(self._source) if thought else None
            if sealed is not None and opaque is not None and (opaque.message or call_id in opaque.calls):
                return sealed, opaque
        return None
