"""The blocks of an answer, put together again as they came: to be sent back."""

import msgspec

from antiphon.model.json_text import read_json
from antiphon.protocol.wire import JsonObject

_TEXTS = {"text": "text", "thinking": "thinking"}
"""Where the pieces of a block go that are text, by its type."""


class OpenBlock:
    """A block whose pieces still come. `members` are those that it began with."""

    __slots__ = ("closed", "index", "members", "pieces", "signature", "type")

    def __init__(self, index: int | None, members: JsonObject) -> None:
        self.index = index
        self.members = members
        self.type = str(members.get("type", ""))
        self.pieces: list[str] = []
        self.signature = str(members.get("signature") or "")
        self.closed = False

    @property
    def arguments(self) -> str:
        """Those of a call; empty when none came."""
        return "".join(self.pieces)

    def whole(self) -> JsonObject:
        """The block as the server wants it back."""
        if name := _TEXTS.get(self.type):
            text = {name: str(self.members.get(name) or "") + "".join(self.pieces)}
            return {**self.members, **text, **({"signature": self.signature} if self.signature else {})}
        if self.type in ("tool_use", "server_tool_use"):
            given = self.arguments or msgspec.json.encode(self.members.get("input") or {})
            return {**self.members, "input": read_json(given, {})}
        return self.members
