"""Which prefixes of a prompt the server should keep: `cache_control` on tools, system and messages.

A request has four marks at most. Those that the client set come first, the newest of them; without any, or
beside them, the end of the instructions and the end of the history are marked by ourselves.

Source: Anthropic's guide to prompt caching.
"""

from typing import Any

from antiphon.model import Turn
from antiphon.protocol.wire import JsonObject

MOST = 4
MARK = "cache_control"
_LONG = ("30m", "12h", "24h")
"""Times of OpenAI's that are longer than five minutes, the shorter of the two that there are."""
_UNMARKED = ("thinking", "redacted_thinking")


def mark(ttl: str | None) -> JsonObject:
    """A mark; `ttl` is how long the prefix should stay, as OpenAI has it."""
    return {"type": "ephemeral", **({"ttl": "1h"} if ttl in _LONG else {})}


def with_marks(body: JsonObject, turn: Turn) -> JsonObject:
    """The body of a request, whose blocks have the marks that the client set, with those that it gets."""
    options = turn.cache_options or {}
    ttl = options.get("ttl") or turn.cache_retention
    marked = [block for block in _blocks(body) if MARK in block]
    for block in marked[:-MOST]:
        del block[MARK]
    if options.get("mode") == "explicit":
        return body
    for block in _ends(body)[: max(0, MOST - len(marked))]:
        block.setdefault(MARK, mark(ttl))
    return _longest_first(body)


def _ends(body: JsonObject) -> list[JsonObject]:
    """Where a prefix ends that comes again: behind the instructions, which the tools stand before, and behind
    all that was said."""
    leading = body.get("system") or body.get("tools") or []
    last = body["messages"][-1]["content"]
    return [*leading[-1:], *[block for block in last if block["type"] not in _UNMARKED][-1:]]


def _longest_first(body: JsonObject) -> JsonObject:
    """What stays longer has to come before what stays shorter: a mark behind which a longer one follows is as
    long."""
    long = False
    for block in reversed(list(_blocks(body))):
        if MARK in block:
            long = long or "ttl" in block[MARK]
            block[MARK] = mark(_LONG[0] if long else None)
    return body


def _blocks(body: JsonObject) -> list[JsonObject]:
    """All blocks, in the order in which they are read."""
    said: list[Any] = [block for message in body["messages"] for block in message["content"]]
    return [*(body.get("tools") or []), *(body.get("system") or []), *said]
