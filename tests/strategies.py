"""JSON that fits our types, for property tests: strategies read from the msgspec types themselves.

A new member of a type is tried without a word here. What types cannot say (an id has a prefix, a call has its
output, a path of a URL) stands in `_RULES` and `inputs`.
"""

import re
import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import Meta
from tests.papers import picture_url
from tests.scripted import Answer, Called, Usage

from antiphon.protocol.content import AudioData, ComputerScreenshot, InputFile, InputImage
from antiphon.protocol.item import InputItem
from antiphon.protocol.items import (
    INPUT_ITEMS,
    AdditionalTools,
    AssistantMessage,
    Compaction,
    CompactionTrigger,
    ItemReference,
    Reasoning,
    WebSearchCall,
)
from antiphon.protocol.request import CreateResponse
from antiphon.stream.kinds import CALL_OF

Json = Any
Strategy = st.SearchStrategy[Any]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IMAGE = picture_url()
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), TEXT)
ANY_JSON = st.recursive(
    LEAVES,
    lambda deep: st.one_of(st.lists(deep, max_size=3), st.dictionaries(TEXT, deep, max_size=3)),
    max_leaves=6,
)
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    ]
)

# ---- from types -------------------------------------------------------------------------------------


@cache
def values(kind: Any) -> Strategy:
    """The JSON of a type."""
    return st.deferred(lambda: _values(kind))


def _values(kind: Any) -> Strategy:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _limited(args[0], [mark for mark in args[1:] if isinstance(mark, Meta)])
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(arg) for arg in args if arg is not msgspec.UnsetType))
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (list, tuple):
        return st.lists(values(args[0]), max_size=2)
    if origin is dict:
        return (
            ANY_JSON_OBJECT
            if args[1] is Any
            else st.dictionaries(values(args[0]), values(args[1]), max_size=3)
        )
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return objects(kind)
    return _SIMPLE[kind]


ANY_JSON_OBJECT = st.dictionaries(TEXT, ANY_JSON, max_size=3)
_SIMPLE: dict[Any, Strategy] = {
    str: TEXT,
    int: st.integers(0, 2000),
    float: st.floats(0, 1),
    bool: st.booleans(),
    type(None): st.none(),
    Any: ANY_JSON,
    msgspec.Raw: ANY_JSON,
}


def _limited(kind: Any, limits: list[Meta]) -> Strategy:
    limit = {name: value for meta in limits for name in _LIMITS if (value := getattr(meta, name)) is not None}
    if kind is str:
        if "pattern" in limit:
            return st.from_regex(re.compile(str(limit["pattern"]), re.ASCII), fullmatch=True).filter(
                lambda text: len(text) <= limit.get("max_length", 99)
            )
        return st.text(
            st.characters(exclude_categories=["Cs"]), min_size=limit.get("min_length", 0), max_size=12
        )
    if kind is int:
        return st.integers(limit.get("ge", 0), limit.get("le", limit.get("ge", 0) + 2000))
    if kind is float:
        return st.floats(limit.get("ge", 0), limit.get("le", 1))
    if get_origin(kind) in (list, tuple):
        return st.lists(values(get_args(kind)[0]), min_size=limit.get("min_length", 0), max_size=2)
    return values(kind)


_LIMITS = ("ge", "le", "min_length", "max_length", "pattern")


def objects(kind: type[msgspec.Struct], most: int = 3, **members: Strategy) -> Strategy:
    """Objects of a type: all members that must be there, and at most so many others. `members` replaces
    what types say of them."""
    config = kind.__struct_config__
    hints = get_type_hints(kind, include_extras=True)
    said = {**_rules(kind), **members}
    required: dict[str, Strategy] = {}
    optional: dict[str, Strategy] = {}
    for field in msgspec.structs.fields(kind):
        strategy = said.get(field.name, values(hints[field.name]))
        there = field.required or (kind, field.name) in _ALWAYS
        (required if there else optional)[field.encode_name] = strategy
    if config.tag is not None:
        required[str(config.tag_field)] = st.just(config.tag)
    return _subsets(required, optional, most)


def _subsets(required: Mapping[str, Strategy], optional: Mapping[str, Strategy], most: int) -> Strategy:
    """Few members at a time: each may be refused for a reason of its own."""
    chosen = (
        st.lists(st.sampled_from(sorted(optional)), max_size=most, unique=True) if optional else st.just([])
    )
    return chosen.flatmap(
        lambda names: st.fixed_dictionaries({**required, **{name: optional[name] for name in names}})
    )


# ---- what types do not say --------------------------------------------------------------------------

_NO = st.none()
_RULES: dict[type, dict[str, Strategy]] = {
    InputImage: {"image_url": st.just(IMAGE), "file_id": _NO},
    InputFile: {"file_data": st.just("data:text/plain;base64,SGk="), "file_id": _NO, "file_url": _NO},
    AudioData: {"data": st.just("SGk=")},
    ComputerScreenshot: {"image_url": st.just(IMAGE), "file_id": _NO},
    Reasoning: {"encrypted_content": _NO},
    AdditionalTools: {"tools": st.just([])},
    WebSearchCall: {"action": st.just({"type": "search", "query": "x"})},
}
# Members that may be left out by their type, and must not be there.
_ALWAYS = {
    (InputImage, "image_url"),
    (InputFile, "file_data"),
    (ComputerScreenshot, "image_url"),
    (WebSearchCall, "action"),
}


def _rules(kind: type[msgspec.Struct]) -> dict[str, Strategy]:
    rules = dict(_RULES.get(kind, {}))
    if issubclass(kind, InputItem) and kind is not ItemReference:
        prefix = kind.prefix
        rules["id"] = st.one_of(_NO, st.uuids().map(lambda number: f"{prefix}_{number.hex}"))
    if kind.__name__ == "JsonSchemaFormat":
        rules["schema"] = SCHEMAS
    if "parameters" in kind.__struct_fields__:
        rules["parameters"] = SCHEMAS
    return rules


# ---- input ------------------------------------------------------------------------------------------

CALL_IDS = st.uuids().map(lambda number: f"call_{number.hex[:24]}")
_PAIRED = {*CALL_OF, *CALL_OF.values()}
_ALONE = [
    kind
    for name, kind in INPUT_ITEMS.items()
    if name not in _PAIRED and kind not in (ItemReference, Compaction, CompactionTrigger)
]


@st.composite
def pairs(draw: st.DrawFn) -> list[Json]:
    """A call and its output."""
    output = draw(st.sampled_from(sorted(CALL_OF)))
    call_id = draw(CALL_IDS)
    said = []
    for name in (CALL_OF[output], output):
        kind = INPUT_ITEMS[name]
        known = {"call_id": st.just(call_id)} if "call_id" in kind.__struct_fields__ else {}
        item = draw(objects(kind, 3, **known))
        if "call_id" in kind.__struct_fields__:
            item["call_id"] = call_id
        said.append(item)
    return said


ITEMS = st.one_of(
    objects(INPUT_ITEMS["message"]).map(lambda item: [item]),
    objects(AssistantMessage).map(lambda item: [item]),
    st.one_of(*map(objects, _ALONE)).map(lambda item: [item]),
    pairs(),
)
ITEM_LISTS = st.lists(ITEMS, max_size=4).map(lambda units: [item for unit in units for item in unit])
USER = objects(INPUT_ITEMS["message"], role=st.just("user"))
INPUTS = st.one_of(
    TEXT.filter(bool),
    st.tuples(st.lists(ITEMS, max_size=3), USER).map(
        lambda said: [*(i for unit in said[0] for i in unit), said[1]]
    ),
)

# What this server always refuses, or what names something that has to be there.
_STATE = ("previous_response_id", "conversation", "prompt", "background", "moderation")
REQUESTS = objects(
    CreateResponse,
    most=4,
    model=st.just("m"),
    input=INPUTS,
    stream_options=_NO,
    stream=st.booleans(),
    **dict.fromkeys(_STATE, _NO),
).flatmap(lambda body: INPUTS.map(lambda given: {**body, "input": given}))

# ---- what the model answers -------------------------------------------------------------------------

CALLS = st.builds(
    Called,
    st.one_of(st.sampled_from(["add", "f"]), TEXT),
    st.one_of(ANY_JSON_OBJECT.map(lambda value: msgspec.json.encode(value).decode()), TEXT),
    st.sampled_from(["call_{n}", None, ""]),
)
COUNTS = st.integers(0, 10**6)
ANSWERS = st.builds(
    Answer,
    text=TEXT,
    calls=st.lists(CALLS, max_size=2),
    reasoning=TEXT,
    refusal=st.one_of(st.just(""), TEXT),
    size=st.integers(0, 4),
    finish=st.sampled_from(["", "stop", "length", "tool_calls", "content_filter", "bogus", None]),
    usage=st.one_of(st.none(), st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS)),
    reasoning_field=st.sampled_from(["reasoning", "reasoning_content"]),
    indexed=st.booleans(),
    plain=st.booleans(),
    done=st.booleans(),
)
"""Of a server that works, whatever its model says."""
FAILURES = st.one_of(
    st.builds(Answer, text=TEXT, cut_after=st.integers(0, 3)),
    st.builds(Answer, status=st.sampled_from([400, 401, 404, 422, 429, 500, 503]), error=ANY_JSON),
    st.builds(Answer, raw=st.lists(st.binary(max_size=40), max_size=4)),
    st.builds(Answer, text=TEXT, error=ANY_JSON.filter(lambda error: error is not None)),
)
"""Of one that does not."""

# ---- damage -----------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, body: Json) -> bytes:
    """A body in which something is wrong, most likely."""
    if draw(st.booleans()):
        return _cut(draw, msgspec.json.encode(body))
    copy = msgspec.json.decode(msgspec.json.encode(body))
    for _ in range(draw(st.integers(1, 3))):
        _hit(draw, copy)
    return msgspec.json.encode(copy)


def _cut(draw: st.DrawFn, body: bytes) -> bytes:
    at = draw(st.integers(0, len(body)))
    end = draw(st.integers(at, len(body)))
    return body[:at] + draw(st.binary(max_size=4)) + body[end:]


def _hit(draw: st.DrawFn, value: Json) -> None:
    """Damage one place of a value that holds others."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = draw(st.sampled_from(places))
        inner = value[place]
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 2)) == 0:
            break
        value = inner
    match draw(st.sampled_from(["replace", "delete", "add"])):
        case "replace":
            value[place] = draw(ANY_JSON)
        case "delete":
            del value[place]
        case "add" if isinstance(value, dict):
            value[draw(TEXT)] = draw(ANY_JSON)
        case _:
            value.append(draw(ANY_JSON))
