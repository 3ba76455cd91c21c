"""Inputs that are small to send, or within all limits of bytes, and dear to look at.

Each was found to end a server, or to hold its event loop: for all of them the loop must stay free.
"""

import gzip
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from tests.attack.world import Effort, Told, World
from tests.scripted import Answer, Called

Json = Any
Input = Callable[[World], Awaitable[Told]]

MOST_HELD = float(os.environ.get("ANTIPHON_ATTACK_HOLD", "0.25"))
"""Seconds for which the event loop may be held."""
ONLY = os.environ.get("ANTIPHON_ATTACK_ONLY", "")
"""Part of the names of those that are tried."""
_LONG = ("3^20 branches, called", "3^20 branches, answered", "history of 200,000 items")
"""Those that take their time."""
OK = Answer("ok")
ENDLESS = Answer(
    raw=[b'data: {"choices":[{"delta":{"content":"on "}}]}\n\n' * 200] * 100_000,
    content_type="text/event-stream",
)
"""A gigabyte of three letters each."""

# ---- grammars and schemas ---------------------------------------------------------------------------


def chained_rules(count: int = 3000) -> str:
    return "start: r0\n" + "".join(f"r{n}: r{n + 1}\n" for n in range(count)) + f'r{count}: "c"\n'


def chained_terminals(count: int = 5000) -> str:
    return "start: T0\n" + "".join(f"T{n}: T{n + 1}\n" for n in range(count)) + f'T{count}: "c"\n'


def alternatives(count: int = 400_000) -> str:
    return "start: " + " | ".join(f'"a{n}"' for n in range(count)) + "\n"


def chained_refs(count: int) -> Json:
    """A schema whose definitions lead from one to the next."""
    defs: Json = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(count)}
    defs[f"d{count}"] = {"type": "string"}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def embedded_schema() -> str:
    return "start: %json " + msgspec.json.encode(chained_refs(3000)).decode() + "\n"


def nested_groups(count: int = 20_000) -> str:
    return "(" * count + "a" + ")" * count


def doubled(branches: int, depth: int = 20) -> Json:
    """A schema that is 2 (3, …) to the power of `depth` when it is followed to its ends."""
    defs: Json = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * branches} for n in range(1, depth)}
    defs[f"d{depth}"] = {"type": "string"}
    return _strict({"x": {"$ref": "#/$defs/d1"}}, {"$defs": defs})


def nested(depth: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def _strict(properties: Json, more: Json | None = None) -> Json:
    shape = {"type": "object", "properties": properties, "required": list(properties)}
    return {**shape, "additionalProperties": False, **(more or {})}


def custom(definition: str, syntax: str = "lark", name: str = "t") -> Json:
    form = {"type": "grammar", "syntax": syntax, "definition": definition}
    return {"type": "custom", "name": name, "format": form}


def function(schema: Json, strict: bool = True) -> Json:
    return {"type": "function", "name": "f", "parameters": schema, "strict": strict}


# ---- how they are sent ------------------------------------------------------------------------------


def _create(answer: Answer = OK, **members: Json) -> Input:
    body = {"model": "m", "input": "Hi", **members}

    async def send(world: World) -> Told:
        world.upstream.default = answer
        return await world.ask("POST", "/v1/responses", body)

    return send


def _count(**members: Json) -> Input:
    async def send(world: World) -> Told:
        return await world.ask("POST", "/v1/responses/input_tokens", {"model": "m", "input": "Hi", **members})

    return send


def _background(**members: Json) -> Input:
    """Accepted, and waited for."""

    async def send(world: World) -> Told:
        world.upstream.default = OK
        body = {"model": "m", "input": "Hi", "background": True, **members}
        told = await world.ask("POST", "/v1/responses", body)
        if told.status == 200:
            await world.ask("GET", f"/v1/responses/{told.json['id']}?stream=true")
        return told

    return send


def _socket(**members: Json) -> Input:
    async def send(world: World) -> Told:
        frame = {"type": "response.create", "model": "m", "input": "Hi", **members}
        return await world.frame(msgspec.json.encode(frame))

    return send


def _raw(body: bytes, path: str = "/v1/responses", encoding: str = "") -> Input:
    async def send(world: World) -> Told:
        world.upstream.default = OK
        headers = {"Content-Encoding": encoding} if encoding else {}
        return await world.ask("POST", path, body, headers=headers)

    return send


def _everywhere(name: str, **members: Json) -> Iterator[tuple[str, Input]]:
    yield f"{name}, create", _create(**members)
    yield f"{name}, input_tokens", _count(**members)
    yield f"{name}, background", _background(**members)
    yield f"{name}, socket", _socket(**members)


def _brought(tool: Json) -> Json:
    """A tool that comes with the input."""
    tools = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    return [tools, {"role": "user", "content": "Hi"}]


# ---- all of them ------------------------------------------------------------------------------------


def inputs() -> Iterator[tuple[str, Input]]:
    yield from _grammars()
    yield from _schemas()
    yield from _bodies()
    yield from _contexts()


def _grammars() -> Iterator[tuple[str, Input]]:
    tools = {
        "3,000 chained rules": custom(chained_rules()),
        "5,000 chained terminals": custom(chained_terminals()),
        "%json with 3,000 $ref": custom(embedded_schema()),
        "20,000 nested groups": custom(nested_groups(), "regex"),
        "nested repetition": custom("((a{1,1000}){1,1000}){1,1000}", "regex"),
        "400,000 alternatives": custom(alternatives()),
    }
    yield from _everywhere("3,000 chained rules", tools=[tools["3,000 chained rules"]])
    for name, tool in list(tools.items())[1:]:
        yield name, _create(tools=[tool])
    brought = _brought(tools["5,000 chained terminals"])
    yield "5,000 chained terminals, brought by the input", _create(input=brought)
    many = [custom('start: "a" /[b-d]+/\n', name=f"t{n}") for n in range(5000)]
    yield "5,000 tools with grammars", _create(tools=many)
    fitting = [custom(f'start: "a{n}" /[b-d]+/\n', name=f"t{n}") for n in range(500)]
    yield "500 tools with grammars", _create(tools=fitting)


def _schemas() -> Iterator[tuple[str, Input]]:
    chain = _strict({"x": {"$ref": "#/$defs/d0"}}, {"$defs": chained_refs(50_000)["$defs"]})
    called = Answer(calls=[Called("f", '{"x": 5}')])
    yield "strict schema of 50,000 $ref", _create(called, tools=[function(chain)])
    for branches in (2, 3):
        schema = doubled(branches)
        yield f"{branches}^20 branches, called", _create(called, tools=[function(schema)])
        form = {"type": "json_schema", "name": "f", "schema": schema, "strict": True}
        answer = Answer('{"x": 5}')
        yield f"{branches}^20 branches, answered", _create(answer, model="told", text={"format": form})
    yield "enum of 1,000,000", _create(tools=[function(_strict({"x": {"enum": list(range(1_000_000))}}))])
    yield (
        "100,000 properties",
        _create(tools=[function(_strict({f"p{n}": {"type": "string"} for n in range(100_000)}))]),
    )
    wide = _strict({f"p{n}": {"type": "string"} for n in range(9_000)})
    form = {"type": "json_schema", "name": "f", "schema": wide, "strict": True}
    yield "9,000 properties, answered", _create(text={"format": form})
    yield "schema 200 deep", _create(tools=[function(nested(200))])
    hard = _strict({"x": {"type": "string", "pattern": "^(?=(a+)+$)(a|aa)+$"}})
    called = Answer(calls=[Called("f", '{"x": "' + "a" * 5000 + '!"}')])
    yield "pattern that backtracks", _create(called, tools=[function(hard)])
    loose = Answer(calls=[Called("f", '{"x": ' + "[" * 900 + "]" * 900 + "}")])
    yield "arguments 900 deep", _create(loose, tools=[function(_strict({"x": {}}))])


def _bodies() -> Iterator[tuple[str, Input]]:
    user = b'{"role":"user","content":"a"}'
    for count in (9_000, 100_000, 400_000, 2_000_000):
        body = b'{"model":"m","input":[' + b",".join([user] * count) + b"]}"
        if len(body) < 2**26:
            yield f"{count:,} items", _raw(body)
            yield (
                f"{count:,} items of a conversation",
                _raw(b'{"items":[' + b",".join([user] * count) + b"]}", "/v1/conversations"),
            )
        else:
            yield f"{count:,} items, in gzip", _raw(gzip.compress(body, 6), encoding="gzip")
    empty = b'{"model":"m","input":[' + b",".join([b"{}"] * 400_000) + b"]}"
    yield "400,000 empty items, in gzip", _raw(gzip.compress(empty), encoding="gzip")
    yield (
        "60 MB of metadata",
        _raw(b'{"model":"m","input":"a","metadata":{"a":"' + b"x" * 60_000_000 + b'"}}'),
    )
    members = b",".join(b'"k%d":"v"' % n for n in range(2_000_000))
    yield "2,000,000 members of metadata", _raw(b'{"model":"m","input":"a","metadata":{' + members + b"}}")
    yield "30,000,000 numbers", _raw(b'{"model":"m","input":[' + b"1," * 30_000_000 + b"1]}")
    parts = b",".join([b'{"type":"input_text","text":"a"}'] * 100_000)
    yield "100,000 parts", _raw(b'{"model":"m","input":[{"role":"user","content":[' + parts + b"]}]}")
    yield (
        "2,000 parts",
        _raw(b'{"model":"m","input":[{"role":"user","content":[' + parts[: 33 * 2000 - 1] + b"]}]}"),
    )
    unknown = b",".join([b'{"role":"user","content":"a","x":1}'] * 9_000)
    yield "9,000 items that are wrong", _raw(b'{"model":"m","input":[' + user + b"," + unknown + b"]}")
    yield "1,000,000 backslashes", _raw(b'{"model":"m","input":"' + b"\\\\" * 1_000_000 + b'"}')
    yield "60 MB of text that is no text", _raw(b'{"model":"m","input":"' + b"\xff" * 60_000_000 + b'"}')
    yield (
        "10,000 tools",
        _create(tools=[{"type": "function", "name": f"f{n}", "parameters": {}} for n in range(10_000)]),
    )
    yield (
        "1,000 tools",
        _create(tools=[{"type": "function", "name": f"f{n}", "parameters": {}} for n in range(1_000)]),
    )


def _contexts() -> Iterator[tuple[str, Input]]:
    texts: Json = [{"role": "user", "content": "a word or two"}] * 50_000
    yield "truncation of 50,000 items", _create(input=texts, truncation="auto", model="small")
    yield "truncation of 9,000 items", _create(input=texts[:9_000], truncation="auto", model="small")
    yield "10,000 pairs", _create(input=_pairs(10_000))
    yield "4,500 pairs", _create(input=_pairs(4_500))
    yield "template of 20 MB of {{", _template("{{" * 10_000_000)
    yield "template of {{ and blanks", _template("{{" + " " * 500_000)
    yield "template with 50,000 names", _template("".join(f"{{{{n{n}}}}}" for n in range(50_000)))
    yield "history of 200,000 items", _history
    yield (
        "duplicate ids",
        _create(
            input=[
                {"role": "user", "id": f"msg_{n}", "type": "message", "content": "a"} for n in range(9_000)
            ]
        ),
    )
    yield "a page of 20 items of 3 MB", _large_page
    yield "an upstream that never ends", _create(ENDLESS)
    yield (
        "9,000 references",
        _create(input=[{"type": "item_reference", "id": f"msg_{n}"} for n in range(9_000)]),
    )


def _pairs(count: int) -> Json:
    items: Json = []
    for n in range(count):
        call = {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        items += [call, {"type": "function_call_output", "call_id": f"c{n}", "output": "1"}]
    return [*items, {"role": "user", "content": "Hi"}]


def _template(text: str) -> Input:
    async def send(world: World) -> Told:
        world.upstream.default = OK
        told = await world.ask("POST", "/v1/prompts", {"instructions": text})
        if told.status != 200:
            return told
        prompt = {"id": told.json["id"], "variables": {"a": "b"}}
        return await world.ask("POST", "/v1/responses", {"model": "m", "input": "Hi", "prompt": prompt})

    return send


async def _history(world: World) -> Told:
    """A chain that has grown as long as the server lets it, and is gone on with."""
    world.upstream.default = OK
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}
    said = {"role": "assistant", "content": "a"}
    items: Json = [{"role": "user", "content": "a"}, thought, said] * 3_300
    before: Json = {}
    for _ in range(20):
        body = {"model": "m", "input": items, **before}
        told = await world.ask("POST", "/v1/responses", body)
        if told.status != 200:
            break
        before = {"previous_response_id": told.json["id"]}
    return await world.ask("POST", "/v1/responses", {"model": "m", "input": "Hi", **before})


async def _large_page(world: World) -> Told:
    items: Json = [{"type": "message", "role": "user", "content": "a" * 3_000_000}] * 20
    told = await world.ask("POST", "/v1/conversations", {"items": items})
    if told.status != 200:
        return told
    conversation = told.json["id"]
    body = {"model": "m", "input": "Hi", "conversation": conversation}
    await world.ask("POST", "/v1/responses", body)
    return await world.ask("GET", f"/v1/conversations/{conversation}/items?limit=100")


async def heavy(world: World, effort: Effort) -> None:
    """The section: whatever comes, the loop is never held."""
    for name, send in inputs():
        if ONLY not in name or (effort.quick and name in _LONG):
            continue
        world.record.tried["heavy"] += 1
        async with world.watched(name) as held:
            held.status = str((await send(world)).status)
        if held.worst > MOST_HELD:
            world.broken(f"{name} holds the event loop for {held.worst:.2f} s")
        if held.status == "0":
            world.server.restart()
