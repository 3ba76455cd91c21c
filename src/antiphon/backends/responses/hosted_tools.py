"""The tools that a server runs itself, as a request has them: what is offered and chosen, what is asked to be
shown of them, and what they did before."""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from antiphon.model import Function, Hosted, Turn
from antiphon.model.hosted import in_words
from antiphon.protocol.hosted_items import CodeInterpreterCall, Logs
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.wire import JsonObject

_SHOWN = {"web_search": "web_search_call.action.sources", "code_interpreter": "code_interpreter_call.outputs"}
_PICTURES = "web_search_call.results"
_TAKEN = {
    "web_search_call": ("type", "id", "status", "action"),
    "code_interpreter_call": ("type", "id", "status", "code", "container_id", "outputs"),
    "image_generation_call": ("type", "id", "status", "result"),
}
"""The members of items that an input may have (surface.md section 3)."""


def hosted_in(turn: Turn) -> dict[str, Hosted]:
    """The tools of the server's own that the turn offers, by their kinds: none when no call is left."""
    if turn.most_calls == 0:
        return {}
    return {each.hosted.kind: each.hosted for each in turn.functions if each.hosted is not None}


def own(turn: Turn) -> list[Function]:
    """The functions that are not the server's to run."""
    return [each for each in turn.functions if each.hosted is None]


def chosen(turn: Turn, name: str) -> str | None:
    """The type of the server's own tool that a function belongs to; None: it is a function."""
    found = (each.hosted for each in turn.functions if each.name == name and each.hosted is not None)
    return next((str(tool.entry["type"]) for tool in found), None)


def shown(turn: Turn) -> Iterator[str]:
    """Members of `include`: all that the tools find is kept here, and shown to those who ask for it."""
    for kind, tool in hosted_in(turn).items():
        if kind in _SHOWN:
            yield _SHOWN[kind]
        if "image" in (tool.entry.get("search_content_types") or ()):
            yield _PICTURES


# ---- what they did before ---------------------------------------------------------------------------


def offered_again(turn: Turn) -> Turn:
    """The turn, with words for what tools did that it does not offer."""
    offered = hosted_in(turn)
    return in_words(turn, lambda part: item_type(part.item).removesuffix("_call") not in offered)


def given_back(item: Item) -> JsonObject:
    """An item as its server takes it back: without what it refuses there, such as how a picture looks, and
    without URLs of pictures, which a client may have put there."""
    if isinstance(item, CodeInterpreterCall) and item.outputs:
        outputs = [each for each in item.outputs if isinstance(each, Logs) or each.by_value]
        item = replace(item, outputs=outputs)
    members = msgspec.to_builtins(item)
    back: JsonObject = {name: members[name] for name in _TAKEN[members["type"]] if name in members}
    if isinstance(action := back.get("action"), dict):
        back["action"] = {name: value for name, value in action.items() if name != "sources"}
    return back
