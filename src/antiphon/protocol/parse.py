"""From the bytes of a body to types, or to the fault that the API would report.

What fits is decoded by msgspec alone. What does not is decoded once more as plain JSON, which `validate`
holds against the same types. Checks that need no more than the body are made here too, in the API's
order: behaviours.md section 6, steps 1 to 3, and those of steps 4 and 5 that ask no store.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, TypeVar, cast, get_args

import msgspec
from msgspec import Struct

from antiphon.protocol import error_messages
from antiphon.protocol.content import InputText
from antiphon.protocol.counting import CountTokens
from antiphon.protocol.frames import warms_up
from antiphon.protocol.item import InputItem
from antiphon.protocol.items import CompactionTrigger, InputMessage, LocalShellCallOutput, decode_item
from antiphon.protocol.known_tools import KNOWN_TOOLS
from antiphon.protocol.python_names import mend, mend_body
from antiphon.protocol.request import ConversationRef, CreateResponse, Include, RawItem
from antiphon.protocol.validate import validate
from antiphon.protocol.wire import JsonObject, encode

T = TypeVar("T")

Check = Callable[[JsonObject, bool], None]
"""Finds the faults of a body that does not fit; the second argument says whether members that we don't know
are dropped."""

MOST_ITEMS = 10_000
"""Items that one request may bring."""

# What msgspec raises for JSON that is no JSON, that does not fit, or that is nested too deeply.
_UNFIT = (ValueError, RecursionError)

# Each of these says where the context comes from, so that `input` need not.
_STATE = ("previous_response_id", "prompt", "conversation")

# Members of a Chat Completions body, and where they are in this API. What has no place here, such as `n`, is
# an unknown parameter like any other.
_MOVED = {
    "messages": "input",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "functions": "tools",
    "function_call": "tool_choice",
    "logprobs": "include",
    "web_search_options": "tools",
}

# A member that no reference knows: its sender is Codex, which adds members to requests and items with every
# release. They inform the service of its maker of what no answer depends on, and must not break a turn.
_CODEX = "client_metadata"

_ID = re.compile(r"[A-Za-z0-9_-]+").fullmatch


class Parsed(Struct, frozen=True):
    """The body of POST /responses."""

    request: CreateResponse
    items: list[InputItem]
    """Its input, as items also where it was a text."""
    length: int = 0
    """Bytes of the body."""
    response_id: str | None = None
    """Of the response, where it has one before it is planned."""


def parse_create(
    body: bytes,
    lenient: bool = False,
    kind: type[CreateResponse] = CreateResponse,
    *,
    most_items: int = MOST_ITEMS,
) -> Parsed:
    """Parse the body of POST /responses, or a `CreateFrame`. `lenient` drops members that we don't know.
    A warm-up, which asks for no answer, may come without any input."""
    try:
        request = KNOWN_TOOLS.decode(body, kind)
    except _UNFIT:
        request = _read_again(body, kind, lenient, partial(_look_at_create, kind, most_items))
    if request.input:
        lenient = lenient or request.client_metadata is not None
        items = input_items(request.input, lenient, most_items)
        request.input = ""  # which holds the whole body, as long as the response is made
    else:
        _refuse_absent(_object(body))
        items = []
    if request.previous_response_id is not None or request.conversation is not None:
        _refuse_past(request)
    elif not items and request.prompt is None and not warms_up(request):
        raise error_messages.nothing_to_answer()
    return Parsed(request, items, len(body))


def parse_count(body: bytes, lenient: bool = False, *, most_items: int = MOST_ITEMS) -> Parsed:
    """Parse the body of POST /responses/input_tokens, as the request whose context is to be counted."""
    asked = parse(body, CountTokens, lenient, check=partial(_look_at_count, most_items))
    if asked.personality is not None:
        raise error_messages.unsupported("personality", "its models have none to choose from")
    request = asked.request()
    items = input_items(request.input, lenient, most_items)
    _refuse_past(request)
    return Parsed(request, items, len(body))


def parse(
    body: bytes,
    kind: type[T],
    lenient: bool = False,
    *,
    check: Check | None = None,
) -> T:
    """Parse a body as a `kind`. `check` finds the faults of one that does not fit."""
    decoder: msgspec.json.Decoder[T] = _decoder(cast(Any, kind))
    try:
        return decoder.decode(body)
    except _UNFIT:
        return _read_again(body, kind, lenient, check or partial(_look_at, kind))


def parse_items(raws: Iterable[RawItem], path: str = "input", lenient: bool = False) -> list[InputItem]:
    """Parse input items that stand at `path`."""
    items = [_parse_item(raw, f"{path}[{index}]", lenient) for index, raw in enumerate(raws)]
    _refuse_ids(items, path)
    _refuse_early_trigger(items, path)
    return items


def input_items(value: str | list[msgspec.Raw], lenient: bool, most: int) -> list[InputItem]:
    """The items of an `input`, of which there may be so many. Raises InvalidRequest."""
    if not value:
        return []
    if isinstance(value, str):
        return [InputMessage(role="user", content=(InputText(text=value),))]
    _refuse_many(value, most)
    return parse_items(value, lenient=lenient)


# ---- what fits --------------------------------------------------------------------------------------


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


_json = msgspec.json.Decoder()


def _parse_item(raw: RawItem, path: str, lenient: bool) -> InputItem:
    try:
        return decode_item(raw)
    except _UNFIT:
        return _parse_again(raw, path, lenient)


# ---- what does not fit ------------------------------------------------------------------------------


def _read_again(body: bytes, kind: type[T], lenient: bool, check: Check) -> T:
    """Decode what was refused for what we forgive. Raises InvalidRequest for what we do not."""
    plain = _object(body)
    mend_body(plain)
    lenient = lenient or (issubclass(kind, CreateResponse) and plain.get(_CODEX) is not None)
    _explain(partial(check, plain, lenient))
    decoder: msgspec.json.Decoder[T] = _decoder(cast(Any, kind))
    return _decode_again(decoder.decode, plain)


def _parse_again(raw: RawItem, path: str, lenient: bool) -> InputItem:
    """The same for an item."""
    plain = _plain(raw)
    mend(plain)
    _explain(partial(validate, plain, RawItem, path, drop_unknown=lenient))
    return _decode_again(decode_item, plain, path)


def _plain(raw: bytes | msgspec.Raw) -> Any:
    try:
        return _json.decode(raw)
    except _UNFIT as unfit:
        raise error_messages.not_json() from unfit


def _object(body: bytes) -> JsonObject:
    plain = _plain(body)
    if not isinstance(plain, dict):
        raise error_messages.not_an_object(plain)
    return plain


def _explain(check: Callable[[], None]) -> None:
    """Raise the fault that `check` finds."""
    try:
        check()
    except RecursionError as deep:
        raise error_messages.not_json() from deep


def _decode_again(decode: Callable[[bytes], T], plain: object, path: str = "") -> T:
    """Decode what was refused for what is gone by now: members that we do not know, or that were sent twice.
    Of those, the last one counts, as in any JSON."""
    try:
        return decode(encode(plain))
    except _UNFIT as unfit:
        raise error_messages.unexplained(unfit, path) from unfit


def _look_at_create(kind: type[CreateResponse], most_items: int, plain: JsonObject, lenient: bool) -> None:
    _refuse_absent(plain)
    if lenient:
        _drop_unknown_includes(plain)
    else:
        _refuse_moved(plain)
    _refuse_many(plain.get("input"), most_items)
    validate(plain, kind, drop_unknown=lenient)


def _drop_unknown_includes(plain: JsonObject) -> None:
    """A newer client asks for more than there is here to show."""
    include, known = plain.get("include"), get_args(Include)
    if isinstance(include, list):
        plain["include"] = [each for each in include if each in known]


def _look_at(kind: Any, plain: JsonObject, lenient: bool) -> None:
    validate(plain, kind, drop_unknown=lenient)


def _look_at_count(most_items: int, plain: JsonObject, lenient: bool) -> None:
    _refuse_many(plain.get("input"), most_items)
    validate(plain, CountTokens, drop_unknown=lenient)


def _refuse_many(value: object, most: int) -> None:
    """Before any of them is looked at."""
    if isinstance(value, list) and len(value) > most:
        raise error_messages.too_long("input", value, most, "array")


def _refuse_absent(plain: JsonObject) -> None:
    """Older examples leave `input` out beside a prompt or a conversation: we allow it with any state."""
    if "model" not in plain:
        raise error_messages.missing("model")
    if "input" not in plain and all(plain.get(name) is None for name in _STATE):
        _refuse_moved(plain)
        raise error_messages.missing("input")


def _refuse_moved(plain: JsonObject) -> None:
    """Who sends a body of the older API learns where its members are in this one."""
    for name, place in _MOVED.items():
        if name in plain:
            raise error_messages.moved(name, place)


# ---- what fits, but cannot be -----------------------------------------------------------------------


def _refuse_past(request: CreateResponse) -> None:
    """An id that cannot be one is not looked up."""
    previous, conversation = request.previous_response_id, request.conversation_id
    if previous is not None and conversation is not None:
        raise error_messages.two_pasts()
    if conversation is not None:
        path = "conversation.id" if isinstance(request.conversation, ConversationRef) else "conversation"
        _refuse_id(conversation, "conv", path, "invalid_value")
    if previous is not None:
        _refuse_id(previous, "resp", "previous_response_id")


def _refuse_ids(items: list[InputItem], path: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(items):
        item_id: str | None = getattr(item, "id", None)
        if item_id is None:
            continue
        _refuse_id(item_id, _prefix(type(item)), f"{path}[{index}].id")
        if item_id in seen and type(item) is not LocalShellCallOutput:
            raise error_messages.duplicate_id(item_id, path)
        seen.add(item_id)


def _refuse_early_trigger(items: list[InputItem], path: str) -> None:
    """A compaction is asked for behind all that it compacts (seed 3)."""
    for index, item in enumerate(items[:-1]):
        if isinstance(item, CompactionTrigger):
            raise error_messages.not_last(f"{path}[{index}]", "compaction_trigger")


def _refuse_id(item_id: str, prefix: str, path: str, code: str = "invalid_id_prefix") -> None:
    """`code`: of the wrong prefix. It differs from place to place (behaviours.md section 6)."""
    if item_id and not _ID(item_id):
        raise error_messages.wrong_id(path, item_id)
    if not item_id.startswith(prefix):
        raise error_messages.wrong_id_prefix(path, item_id, prefix, code)


def _prefix(kind: type[InputItem]) -> str:
    """How the ids of such items begin. A reference names an item of any type, and the output of a local
    shell call carries the id of its call."""
    return "" if kind is LocalShellCallOutput else kind.prefix
