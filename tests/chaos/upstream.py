"""The model: a slow Chat Completions server, in a process of its own that survives every kill.

It remembers nothing. What it says follows from the messages that it is given: as long as calls of the plan
are without a result it makes the next ones, then it says the plan's text.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from aiohttp import web
from tests.chaos.plan import Plan, insists, result_of
from tests.chat_rules import complaint

Json = dict[str, Any]

# ---- what it says -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One answer of the model."""

    plan: Plan
    text: str = ""
    reasoning: str = ""
    keys: Sequence[str] = ()
    """One call of the tool for each."""


def decide(messages: Sequence[Json]) -> Said:
    """What the model says next. Messages without a plan are none of ours."""
    plans = [(at, plan) for at, plan in enumerate(map(_plan, messages)) if plan]
    at, plan = plans[-1]
    reasoning = "Which call is next? " * 4 if plan.thinks else ""
    outcomes = _outcomes(messages[at + 1 :])
    for keys in plan.rounds:
        wanted = [key for key in keys if _wanted(key, outcomes.get(key, []))]
        if wanted:
            announced = f"I record {' and '.join(wanted)}." if plan.announces else ""
            return Said(plan, announced, reasoning, wanted)
    return Said(plan, plan.text(len(plans)), reasoning)


def _plan(message: Json) -> Plan | None:
    return Plan.read(_text(message)) if message["role"] == "user" else None


def _wanted(key: str, outcomes: Sequence[bool]) -> bool:
    return not any(outcomes) and (not outcomes or insists(key, len(outcomes)))


def _outcomes(messages: Sequence[Json]) -> Mapping[str, list[bool]]:
    """Of every key that was called: whether it is known to have been recorded, call by call."""
    calls: dict[str, str] = {}
    found: dict[str, list[bool]] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            calls[call["id"]] = key_of(call["function"]["arguments"])
        key = calls.get(message.get("tool_call_id", ""))
        if key:
            found.setdefault(key, []).append(result_of(key) in _text(message))
    return found


def key_of(arguments: str) -> str:
    """The key of a call; none of a call that was cut off before it was told."""
    try:
        found = json.loads(arguments)
    except ValueError:
        return ""
    return str(found.get("key", "")) if isinstance(found, dict) else ""


def _text(message: Json) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# ---- how it says it ---------------------------------------------------------------------------------


def _chunks(said: Said, tool: str, random: Random) -> Iterator[Json]:
    yield _delta({"role": "assistant", "content": ""})
    for piece in _pieces(said.reasoning, random):
        yield _delta({"reasoning_content": piece})
    for piece in _pieces(said.text, random):
        yield _delta({"content": piece})
    for index, key in enumerate(said.keys):
        function = {"name": tool, "arguments": ""}
        identity = {"id": f"call_{random.getrandbits(64):016x}", "type": "function", "function": function}
        yield _delta({"tool_calls": [{"index": index, **identity}]})
        for piece in _pieces(json.dumps({"key": key}), random):
            yield _delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _delta({}, "tool_calls" if said.keys else "stop")
    yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}


def _pieces(text: str, random: Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = random.randint(2, 12)
        yield text[at : at + size]
        at += size


def _delta(delta: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


# ---- the server -------------------------------------------------------------------------------------


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    wrong = complaint(body)
    if wrong:
        return web.json_response({"error": {"message": wrong}}, status=400)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    with contextlib.suppress(ConnectionResetError):  # whoever asked was killed
        await response.prepare(request)
        await _tell(response, decide(body["messages"]), body)
    return response


async def _tell(response: web.StreamResponse, said: Said, body: Json) -> None:
    random = Random()
    base = {"id": "chatcmpl-chaos", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    for chunk in _chunks(said, _tool(body), random):
        await asyncio.sleep(random.uniform(0, 2 * said.plan.pace) / 1000)
        await response.write(f"data: {json.dumps(base | chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")


def _tool(body: Json) -> str:
    """What the server under test calls the tool when it speaks to the model."""
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    return next((name for name in names if name.endswith("record")), "record")


async def _serve() -> None:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", _chat)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us is gone
    await runner.cleanup()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The upstream's base URL, while it runs."""
    command = [sys.executable, "-m", "tests.chaos.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(_serve())
