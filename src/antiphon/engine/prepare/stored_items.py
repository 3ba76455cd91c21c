"""Items of the store that a request refers to without their content."""

from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol.item import Item
from antiphon.protocol.items import decode_stored


async def stored_item(row: bytes | None) -> Item | None:
    """An item from its row, if there is one. Pictures and outputs may be large: nobody waits for those."""
    return None if row is None else await offload(in_bytes(len(row)), decode_stored, row)
