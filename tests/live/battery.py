"""What every model server is tried with, through Antiphon and the official client.

Each situation asserts what the smallest model can be held to: shapes and promises, never sense.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from openai import APIStatusError, BadRequestError, OpenAI
from tests.api.asking import STRICT_ADD, Json
from tests.live.server import Live

Situation = Callable[[OpenAI, Live], str]
"""Raises what went wrong; what it returns is a remark."""

BRIEF: Final = 16
CITY: Final[Json] = {
    "type": "json_schema",
    "name": "city",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"name": {"enum": ["Paris", "Rome"]}, "big": {"type": "boolean"}},
        "required": ["name", "big"],
        "additionalProperties": False,
    },
}
VERDICT: Final[Json] = {
    "type": "custom",
    "name": "verdict",
    "description": "Says yes or no.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "yes" | "no"'},
}
PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)
_SOON: Final = 30.0
"""Seconds after which a server has noticed that nobody listens any more."""


class Said(Exception):
    """The promise could not be kept, and the response says so."""


def ask(client: OpenAI, given: Any = "Say hello.", **members: Any) -> Any:
    return client.responses.create(
        **{"model": "live", "input": given, "temperature": 0.0, "max_output_tokens": BRIEF, **members}
    )


def promised(client: OpenAI, live: Live, given: str, **members: Any) -> Any:
    """A response whose form is promised. Raises `Said` when it says that the promise could not be kept, on a
    server that holds the model to nothing."""
    try:
        said = ask(client, given, max_output_tokens=100, **members)
    except APIStatusError as refusal:
        if live.enforces or refusal.status_code != 502:
            raise
        raise Said(refusal.message) from refusal
    final = list(said)[-1].response if members.get("stream") else said
    if final.status != "completed" and not live.enforces:
        raise Said(final.error.message if final.error else "cut off by max_output_tokens")
    return final


def plain(client: OpenAI, _: Live) -> str:
    said = ask(client)

    assert said.status in ("completed", "incomplete"), said.status
    assert said.output_text.strip(), "no text"
    assert said.usage.input_tokens > 0, "no input was counted"
    assert 0 < said.usage.output_tokens <= BRIEF, f"{said.usage.output_tokens} tokens of output"
    return ""


def stream(client: OpenAI, _: Live) -> str:
    events = list(ask(client, "Count: one, two,", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]

    assert events[-1].type in ("response.completed", "response.incomplete"), events[-1].type
    assert "".join(deltas) == events[-1].response.output_text, "the deltas are not the text"
    assert len(deltas) > 2, f"it came in {len(deltas)} pieces"
    assert events[-1].response.usage.output_tokens > 0, "no output was counted"
    return ""


def chain(client: OpenAI, _: Live) -> str:
    first = ask(client, "My name is Ada.")
    second = ask(client, "What is my name?", previous_response_id=first.id)

    assert second.usage.input_tokens > first.usage.input_tokens, "it has no memory"
    return ""


def tools(client: OpenAI, _: Live) -> str:
    output = ask(client, "What is 1 + 2? Use the tool.", tools=[STRICT_ADD], max_output_tokens=100).output

    kinds = {item.type for item in output}
    assert kinds, "nothing"
    assert kinds <= {"message", "function_call", "reasoning"}, kinds
    for item in output:
        if item.type == "function_call" and item.status == "completed":
            _check_sum(item.name, item.arguments)
    return "called" if "function_call" in kinds else "answered in words"


def forced(client: OpenAI, live: Live) -> str:
    for choice in ({"type": "function", "name": "add"}, "required"):
        said = promised(client, live, "What is 1 + 2?", tools=[STRICT_ADD], tool_choice=choice)
        calls = [item for item in said.output if item.type == "function_call"]
        assert calls, f"no call with {choice}: {said.status}, {[item.type for item in said.output]}"
        _check_sum(calls[0].name, calls[0].arguments)
        result = {"type": "function_call_output", "call_id": calls[0].call_id, "output": "3"}
        answered = [result, *({**result, "call_id": call.call_id} for call in calls[1:])]
        then = ask(client, answered, previous_response_id=said.id, tools=[STRICT_ADD], tool_choice="none")
        assert then.output, "nothing followed the result"
    return ""


def _check_sum(name: str, arguments: str) -> None:
    assert name == "add", name
    given = json.loads(arguments)
    assert given.keys() == {"a", "b"}, arguments
    assert all(isinstance(value, int) for value in given.values()), arguments


def schema(client: OpenAI, live: Live) -> str:
    for streamed in (False, True):
        said = promised(client, live, "Which city?", text={"format": CITY}, stream=streamed)
        assert said.status == "completed", f"{said.status}: {said.error or said.incomplete_details}"
        city = json.loads(said.output_text)
        assert city.keys() == {"name", "big"}, city
        assert city["name"] in ("Paris", "Rome"), city
        assert isinstance(city["big"], bool), city
    return ""


def grammar(client: OpenAI, live: Live) -> str:
    choice = {"type": "custom", "name": "verdict"}
    said = promised(client, live, "Is the sky blue?", tools=[VERDICT], tool_choice=choice)

    calls = [item for item in said.output if item.type == "custom_tool_call"]
    assert calls, f"no call: {said.status}, {said.error}"
    assert calls[0].input in ("yes", "no"), repr(calls[0].input)
    return ""


def logprobs(client: OpenAI, _: Live) -> str:
    try:
        said = ask(client, top_logprobs=2, include=["message.output_text.logprobs"])
    except BadRequestError as refusal:
        return f"refused: {refusal.body['message']}" if isinstance(refusal.body, dict) else "refused"
    content = said.output[-1].content[0]
    assert content.logprobs, "none came, and nothing said so"
    assert "".join(token.token for token in content.logprobs) == content.text, "they are not the text"
    assert all(token.logprob <= 0 for token in content.logprobs), "some are above 0"
    return ""


def errors(client: OpenAI, live: Live) -> str:
    if live.knows_its_names:
        _refused(lambda: ask(client, model="no-such-model"), 404, "model_not_found")
    if live.knows_its_window:
        _refused(lambda: ask(client, "word " * 20_000), 400, "context_length_exceeded")
    picture = {"type": "input_image", "image_url": PIXEL}
    _refused(lambda: ask(client, [{"role": "user", "content": [picture]}]), 400, None)
    return ""


def _refused(tried: Callable[[], Any], status: int, code: str | None) -> None:
    refusal = _refusal_of(tried)
    assert refusal is not None, f"no refusal {status} {code or ''}"
    assert refusal.status_code == status, f"{refusal.status_code}, not {status}: {refusal.message}"
    assert code is None or refusal.code == code, f"code {refusal.code}, not {code}: {refusal.message}"


def _refusal_of(tried: Callable[[], Any]) -> APIStatusError | None:
    try:
        tried()
    except APIStatusError as refusal:
        return refusal
    return None


def hang_up(client: OpenAI, live: Live) -> str:
    """Long answers are left in the middle: their server stops working on them."""
    for streamed in (True, True, True, True):
        with ask(client, "Count to a million.", stream=streamed, max_output_tokens=4000) as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    break
    deadline = time.monotonic() + _SOON
    while (busy := live.busy()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not busy, f"{busy} answers go on that nobody reads"
    assert ask(client, max_output_tokens=16).output_text, "it does not answer any more"
    return "" if busy == 0 else "it does not say what it works on"


def count(client: OpenAI, live: Live) -> str:
    counted = client.responses.input_tokens.count(model="live", input="Count me, please.").input_tokens
    billed = ask(client, "Count me, please.", max_output_tokens=16).usage.input_tokens

    assert counted > 0, "nothing was counted"
    assert counted == billed or not live.counts, f"{counted} counted, {billed} billed"
    return "" if counted == billed else f"estimated without its template: {counted}, not {billed}"


SITUATIONS: Final[Mapping[str, Situation]] = {
    "plain": plain,
    "stream": stream,
    "chain": chain,
    "tools": tools,
    "forced": forced,
    "schema": schema,
    "grammar": grammar,
    "logprobs": logprobs,
    "errors": errors,
    "hang-up": hang_up,
    "count": count,
}
