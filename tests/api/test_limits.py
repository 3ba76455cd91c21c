"""What is too much to be looked at is refused in words, and whoever asks next is answered."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, fault, refused, whole
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.using import calls
from websockets.sync.client import connect

from antiphon.config import Limits

# ---- grammars and schemas that would end a process, or hold it for minutes ---------------------------

RULES = "start: r0\n" + "".join(f"r{n}: r{n + 1}\n" for n in range(3000)) + 'r3000: "c"\n'
TERMINALS = "start: T0\n" + "".join(f"T{n}: T{n + 1}\n" for n in range(5000)) + 'T5000: "c"\n'
CHAIN: Json = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3000)} | {"d3000": {"type": "string"}}
SCHEMA = 'start: %json {"$ref": "#/$defs/d0", "$defs": ' + msgspec.json.encode(CHAIN).decode() + "}\n"
CHOICES = "start: " + " | ".join(f'"a{n}"' for n in range(400_000)) + "\n"
REFERENCES: Json = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(50_000)} | {"d50000": {}}


def custom(definition: str) -> Json:
    return {
        "type": "custom",
        "name": "t",
        "format": {"type": "grammar", "syntax": "lark", "definition": definition},
    }


def strict(properties: Json, **more: Any) -> Json:
    shape = {"type": "object", "properties": properties, "required": list(properties)}
    return shape | {"additionalProperties": False} | more


def doubled(branches: int) -> Json:
    """A schema of some two kilobytes that is `branches` to the power of 20 when it is followed to its end."""
    defs: Json = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * branches} for n in range(1, 20)}
    return strict({"x": {"$ref": "#/$defs/d1"}}, **{"$defs": defs | {"d20": {"type": "string"}}})


def function(parameters: Json) -> Json:
    return {"type": "function", "name": "f", "parameters": parameters, "strict": True}


Ask = Callable[[OpenAI, Json], Any]
WAYS: dict[str, tuple[str, Ask]] = {
    "tools": ("tools[0]", lambda client, tool: client.responses.create(model="m", input="Hi", tools=[tool])),
    "additional_tools": (
        "input[0].tools[0]",
        lambda client, tool: client.responses.create(
            model="m",
            input=[
                {"type": "additional_tools", "role": "developer", "tools": [tool]},
                {"role": "user", "content": "Hi"},
            ],  # type: ignore[list-item]
        ),
    ),
    "input_tokens": (
        "tools[0]",
        lambda client, tool: client.responses.input_tokens.count(model="m", input="Hi", tools=[tool]),
    ),
    "background": (
        "tools[0]",
        lambda client, tool: client.responses.create(model="m", input="Hi", background=True, tools=[tool]),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("definition", [RULES, TERMINALS, SCHEMA, CHOICES], ids=str.__len__)
def test_a_grammar_that_no_compiler_stands_is_refused(
    client: OpenAI, upstream: Upstream, definition: str, way: str
) -> None:
    place, ask = WAYS[way]

    with refused(400, "invalid_value", f"{place}.format.definition") as refusal:
        ask(client, custom(definition))

    assert refusal.message.startswith("Invalid lark grammar of the tool 't': it is ")
    upstream.script(Answer("still here"))
    assert client.responses.create(model="m", input="Hi").output_text == "still here"


def test_a_grammar_that_no_compiler_stands_is_refused_in_a_frame(server: Running) -> None:
    with connect(server.url.replace("http", "ws") + "/v1/responses") as socket:
        frame = {"type": "response.create", "model": "m", "input": "Hi", "tools": [custom(RULES)]}
        socket.send(msgspec.json.encode(frame).decode())
        answer = msgspec.json.decode(socket.recv(timeout=30))

    assert (answer["type"], answer["status"]) == ("error", 400)
    assert answer["error"]["param"] == "tools[0].format.definition"


def test_a_schema_that_no_validator_stands_is_refused(client: OpenAI, upstream: Upstream) -> None:
    chained = strict({"x": {"$ref": "#/$defs/d0"}}, **{"$defs": REFERENCES})

    with refused(400, "invalid_function_parameters", "tools[0].parameters") as refusal:
        WAYS["tools"][1](client, function(chained))

    assert "too large" in refusal.message
    assert upstream.requests == []


@pytest.mark.parametrize("branches", [2, 3])
def test_a_call_that_takes_for_ever_to_check_is_a_fault_of_the_model(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, branches: int
) -> None:
    upstream.script(calls("f", '{"x": 5}'), calls("f", '{"x": "fits"}'))
    tool: Any = function(doubled(branches))

    response = client.with_options(timeout=60).responses.create(model="m", input="Hi", tools=[tool])

    assert [item.arguments for item in response.output if item.type == "function_call"] == ['{"x": "fits"}']
    assert "arguments" in upstream.last.body["messages"][-1]["content"]


# ---- bodies that are small to send and dear to look at -----------------------------------------------

USER: Json = {"role": "user", "content": "a"}


def test_a_request_brings_so_many_items_at_most(client: OpenAI, upstream: Upstream) -> None:
    with refused(400, "array_above_max_length", "input") as refusal:
        client.responses.create(model="m", input=[USER] * 10_001)  # type: ignore[list-item]

    assert "maximum length 10000" in refusal.message
    assert upstream.requests == []


def test_items_are_counted_before_any_of_them_is_looked_at(client: OpenAI) -> None:
    with refused(400, "array_above_max_length", "input"):
        client.responses.create(model="m", input=[{"nonsense": 1}] * 10_001)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("responses", b'{"model":"m","input":[' + b"{}," * 250_000 + b"{}]}"),
        ("responses", b'{"model":"m","input":"a","metadata":{' + b'"a":"b",' * 250_000 + b'"a":"b"}}'),
        ("responses/input_tokens", b'{"model":"m","input":[' + b"1," * 250_000 + b"1]}"),
        ("responses/compact", b'{"model":"m","tools":[' + b"[]," * 250_000 + b"[]]}"),
        ("conversations", b'{"items":[' + b"{}," * 250_000 + b"{}]}"),
        ("prompts", b'{"input":[' + b"{}," * 250_000 + b"{}]}"),
        ("uploads", b'{"x":[' + b"{}," * 250_000 + b"{}]}"),
        ("uploads/upload_1/complete", b'{"part_ids":[' + b'"a",' * 250_000 + b'"a"]}'),
    ],
)
def test_a_body_holds_so_many_values_at_most(http: httpx2.Client, path: str, body: bytes) -> None:
    answer = http.post(f"/v1/{path}", content=body, headers={"content-type": "application/json"})

    assert fault(answer) == (413, "invalid_request_error", "request_too_large", None)
    assert "limits.request_values" in answer.text


def test_a_text_may_be_as_long_as_it_likes(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    text = 'a,b,"c",[{\n' * 100_000

    assert client.responses.create(model="m", input=text).output_text == "ok"
    assert upstream.last.body["messages"][-1]["content"] == text


@pytest.fixture
def few(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """The client of a server that takes little."""
    config = replace(config_for(upstream, tmp_path), limits=Limits(request_items=3, request_values=1000))
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def test_both_limits_are_settings(few: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("ok")
    few.responses.create(model="m", input=[USER] * 3)  # type: ignore[list-item]
    with refused(400, "array_above_max_length", "input"):
        few.responses.create(model="m", input=[USER] * 4)  # type: ignore[list-item]
    with refused(413, "request_too_large"):
        few.responses.create(model="m", input=[USER], metadata={f"{n}": "x" * 100 for n in range(1001)})  # type: ignore[list-item]


def test_a_prompt_has_a_length(http: httpx2.Client) -> None:
    answer = http.post("/v1/prompts", json={"instructions": "{{" * 2**20})

    assert fault(answer) == (413, "invalid_request_error", "prompt_too_large", None)


def test_a_prompt_may_have_many_variables(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    names = [f"n{number}" for number in range(20_000)]
    made = http.post(
        "/v1/prompts", json={"instructions": "".join(f"{{{{{name}}}}}" for name in names)}
    ).json()
    assert made["variables"] == names
    prompt = {"id": made["id"], "variables": dict.fromkeys(names, "x")}
    begun = time.process_time()

    answer = http.post("/v1/responses", json={"model": "m", "input": "Hi", "prompt": prompt})

    assert answer.status_code == 200
    assert time.process_time() - begun < 5


def test_a_response_has_so_many_tools_at_most(client: OpenAI) -> None:
    tools: Any = [
        {"type": "function", "name": f"f{n}", "parameters": {}, "strict": False} for n in range(4097)
    ]

    with refused(400, "array_above_max_length", "tools[4096]"):
        client.responses.create(model="m", input="Hi", tools=tools)


def test_a_context_has_so_many_attachments_at_most(client: OpenAI) -> None:
    parts = [{"type": "input_image", "image_url": f"data:image/png;base64,{n:08d}"} for n in range(2001)]

    with refused(400, "array_above_max_length", "input"):
        client.responses.create(model="m", input=[{"role": "user", "content": parts}])  # type: ignore[list-item]


# ---- and what is large all the same ------------------------------------------------------------------


def test_large_requests_are_answered_as_small_ones(client: OpenAI, upstream: Upstream) -> None:
    """They go another way, in threads; what comes of it is the same."""
    upstream.default = Answer("ok")
    items: Json = []
    for n in range(600):
        call = {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        items += [call, {"type": "function_call_output", "call_id": f"c{n}", "output": f"{n}"}]
    first = client.responses.create(model="m", input=[*items, USER])  # type: ignore[list-item]

    second = client.responses.create(model="m", input="And?", previous_response_id=first.id)

    said = upstream.last.body["messages"]
    assert [message["role"] for message in said[:4]] == ["assistant", "tool", "assistant", "tool"]
    assert [message["content"] for message in said[-3:]] == ["a", "ok", "And?"]
    assert len(said) == 1203
    assert whole(second)["status"] == "completed"
