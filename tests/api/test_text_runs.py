"""Texts and arguments that are taken in runs (`text_runs` of a backend) reach clients as those that are
decoded do: in the same events, whoever reads them and whatever stands in between."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.moderators import ServedModerator
from tests.scripted import Answer, Called, Upstream
from tests.wire import CheckedTransport, Checker
from websockets.sync.client import connect

from antiphon.config import Moderation, Outbound

Json = dict[str, Any]

JUDGED = {"model": "omni-moderation-latest", "policy": {"output": {"mode": "block"}}}
TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}
WORDS = ("Salt", " is", " old,", "\n\n", ' "and', '" [1]', " so", " is", " the <", "sea", " é", ".\\")
ADD = {"type": "function", "name": "add", "parameters": {}, "strict": False}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """Of such a size that a few of them are worth a run."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {
        "id": "c" * 400,
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def told(*words: str, before: bytes = b"", behind: bytes = chunk("stop")) -> Answer:
    """An answer that comes in two reads, or as many as the network makes of them."""
    opening = chunk(role="assistant", content="") + before
    texts = [chunk(content=word) for word in words]
    half = len(texts) // 2
    return Answer(
        raw=[opening + b"".join(texts[:half]), b"".join(texts[half:]) + behind + b"data: [DONE]\n\n"]
    )


def written(*calls: tuple[str, Json], before: bytes = b"") -> Answer:
    """Calls, a few characters of their arguments in each chunk."""
    chunks = [chunk(role="assistant", content=None), before]
    for index, (name, arguments) in enumerate(calls):
        opening = {"index": index, "id": f"call_{index}", "function": {"name": name, "arguments": ""}}
        chunks.append(chunk(tool_calls=[opening]))
        text = json.dumps(arguments, ensure_ascii=False)
        pieces = [{"arguments": text[at : at + 3]} for at in range(0, len(text), 3)]
        chunks += [chunk(tool_calls=[{"index": index, "function": piece}]) for piece in pieces]
    half = len(chunks) // 2
    end = chunk("tool_calls") + b"data: [DONE]\n\n"
    return Answer(raw=[b"".join(chunks[:half]), b"".join(chunks[half:]) + end])


NOTE: Json = {
    "type": "function",
    "name": "note",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "strict": False,
}
NOTED = ("note", {"text": 'Salt is old, {"and"} é\n so is the \\ sea.'})
PATCH = {"operation": {"type": "create_file", "path": "a", "diff": "@@\n+salt {}\n+sea\n"}}
TEXT = told(*WORDS)
CALL = chunk(
    "tool_calls", tool_calls=[{"index": 0, "id": "x", "function": {"name": "add", "arguments": "{}"}}]
)
CASES: dict[str, tuple[Json, Answer]] = {
    "a text": ({}, TEXT),
    "reasoning in front": ({}, told(*WORDS, before=chunk(reasoning_content="Hm"))),
    "reasoning in the text": ({}, told("<think>", "Hm", "</think>", *WORDS)),
    "functions on offer": ({"tools": [ADD]}, TEXT),
    "a call behind": ({"tools": [ADD]}, told(*WORDS, behind=CALL)),
    "a call in the text": (
        {"tools": [ADD]},
        told("I", " add", '<tool_call>{"name": "add",', ' "arguments": {}}</tool', "_call>"),
    ),
    "a form of the answer": (
        {"text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}},
        told('{"', 'a"', ': "', "b", '"}', " so", " it is"),
    ),
    "no form, though asked for": ({"text": {"format": {"type": "json_object"}}}, TEXT),
    "a summary": ({"reasoning": {"summary": "concise"}}, told(*WORDS, before=chunk(reasoning_content="Hm"))),
    "cut short": ({"max_output_tokens": 16}, told(*WORDS, behind=chunk("length"))),
    "truncated context": ({"truncation": "auto"}, TEXT),
    "not stored": ({"store": False}, TEXT),
    "judged": ({"moderation": JUDGED}, TEXT),
    "blocked": ({"moderation": JUDGED}, told("I", " hate", " salt")),
    "broken off": ({}, Answer(raw=[chunk(content="a") + chunk(content="b"), b"data: {nonsense\n\n"])),
    "logprobs": ({"include": ["message.output_text.logprobs"]}, Answer("Salt is old", size=4)),
    "a call": ({"tools": [NOTE]}, written(NOTED)),
    "a call that is held back": (
        {
            "tools": [
                NOTE | {"strict": True, "parameters": NOTE["parameters"] | {"additionalProperties": False}}
            ]
        },
        written(NOTED),
    ),
    "several calls": ({"tools": [NOTE]}, written(NOTED, NOTED, ("note", {}), NOTED)),
    "one call at most": ({"tools": [NOTE], "parallel_tool_calls": False}, written(NOTED, NOTED)),
    "a call behind a text": ({"tools": [NOTE]}, written(NOTED, before=chunk(content="Well"))),
    "a call in a namespace": (
        {"tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [NOTE]}]},
        written(("n__note", NOTED[1])),
    ),
    "a custom tool": (
        {"tools": [{"type": "custom", "name": "say"}]},
        written(("say", {"input": "Salt {is} old. " * 4})),
    ),
    "a patch": ({"tools": [{"type": "apply_patch"}]}, written(("apply_patch", PATCH))),
    "a shell": (
        {"tools": [{"type": "shell", "environment": {"type": "local"}}]},
        written(("shell", {"commands": ["echo salt", "echo {sea}"]})),
    ),
    "a call that nobody offered": ({"tools": [ADD]}, written(NOTED)),
    "a judged call": ({"tools": [NOTE], "moderation": JUDGED}, written(NOTED)),
    "a blocked call": ({"tools": [NOTE], "moderation": JUDGED}, written(("note", {"text": "I hate salt"}))),
    "a call instead of a form": (
        {"tools": [NOTE], "text": {"format": {"type": "json_object"}}},
        written(NOTED),
    ),
    "a forced call": ({"tools": [NOTE], "tool_choice": "required"}, written(NOTED)),
    "many short reads": ({}, Answer("Salt is as old as the sea.", size=1, calls=[Called("add")])),
}


@pytest.fixture(scope="module")
def servers(
    _upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Running]]:
    """One that takes texts in runs, and one that does not."""
    with ServedModerator({"hate": "hate"}) as moderator, ExitStack() as stack:
        judge = Moderation(base_url=f"{moderator.url}/v1", model="m1")
        outbound = Outbound(allow_private=True)

        def running(text_runs: bool) -> Running:
            config = config_for(_upstream, tmp_path_factory.mktemp("data"))
            backends = {name: replace(each, text_runs=text_runs) for name, each in config.backends.items()}
            config = replace(config, backends=backends, moderation=judge, outbound=outbound)
            return stack.enter_context(Running(config))

        yield running(True), running(False)


def streamed(server: Running, body: Json) -> list[Json]:
    transport = CheckedTransport(Checker())
    with httpx2.Client(base_url=server.url, transport=transport, timeout=30) as http:
        told = http.post("/v1/responses", json=body | {"stream": True})
    return [
        json.loads(frame.partition("\ndata: ")[2]) for frame in told.text.split("\n\n") if "data: " in frame
    ]


def in_background(server: Running, body: Json) -> list[Json]:
    return streamed(server, body | {"background": True, "store": True})


def over_a_socket(server: Running, body: Json) -> list[Json]:
    with connect(server.url.replace("http", "ws") + "/v1/responses") as socket:
        socket.send(json.dumps({"type": "response.create", **body}))
        events = [json.loads(socket.recv(timeout=60))]
        while events[-1]["type"] not in TERMINAL:
            events.append(json.loads(socket.recv(timeout=60)))
    return events


def in_one_piece(server: Running, body: Json) -> list[Json]:
    transport = CheckedTransport(Checker())
    with httpx2.Client(base_url=server.url, transport=transport, timeout=30) as http:
        return [http.post("/v1/responses", json=body).json()]


def masked(events: list[Json]) -> str:
    """Without what no two responses have in common. Of paddings the length counts."""
    for event in events:
        if "obfuscation" in event:
            event["obfuscation"] = len(event["obfuscation"])
    text = json.dumps(events, indent=1, ensure_ascii=False)
    text = re.sub(r'"((?:created|completed)_at)": \d+', r'"\1": 0', text)
    return re.sub(r"\b([a-z]+)_[0-9a-zA-Z]{20,}", r"\1_x", text)


@pytest.mark.parametrize("reader", [streamed, in_background, over_a_socket, in_one_piece])
@pytest.mark.parametrize("case", CASES)
def test_a_text_in_runs_is_told_as_one_that_is_decoded(
    servers: tuple[Running, Running],
    upstream: Upstream,
    case: str,
    reader: Callable[[Running, Json], list[Json]],
) -> None:
    members, answer = CASES[case]
    upstream.default = answer
    body = {"model": "m", "input": "Why is the sea salt?", **members}
    runs, decoded = (masked(reader(server, body)) for server in servers)
    assert runs == decoded


def test_obfuscation_can_be_left_out_of_runs(servers: tuple[Running, Running], upstream: Upstream) -> None:
    upstream.default = TEXT
    body = {"model": "m", "input": "Hi", "stream_options": {"include_obfuscation": False}}
    runs, decoded = (masked(streamed(server, body)) for server in servers)
    assert runs == decoded
    assert "obfuscation" not in runs
