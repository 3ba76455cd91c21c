"""A Chat Completions server that is never the bottleneck: it writes bytes that were made before.

The model's name says what is answered, so that every server in between can be asked for everything:
`burst-200` is 200 deltas at once, `paced-200` the same 5 ms apart, `paced-2-3000` two deltas 3 s apart,
`call-200` a function call whose arguments come in 200 deltas. Without `stream` the same answer is JSON.
"""

import argparse
import asyncio
import json
import re
from functools import cache
from typing import Any, NamedTuple

import uvloop

PACE = 0.005
"""Seconds between two deltas: a model of 200 tokens a second."""
_WORDS = (" the", " model", " says", " so", " and", " then", " it", " adds", " one", " word")
_BURST = 50
"""Deltas in one write of a burst, as if the kernel had gathered them."""

_MODEL = re.compile(rb'"model":\s*"([^"]*?(burst|paced|call)-(\d+)(?:-(\d+))?)"')
_STREAM = re.compile(rb'"stream":\s*true')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Answer(NamedTuple):
    """Everything that a model ever says, in bytes."""

    json: bytes
    head: bytes
    deltas: tuple[bytes, ...]
    tail: bytes
    pace: float
    """Seconds between deltas; 0 writes them in bursts."""


# ---- what is said -----------------------------------------------------------------------------------


@cache
def answer(model: str, kind: str, count: int, milliseconds: int) -> Answer:
    """The answer of a model; it is made once."""
    calls = kind == "call"
    texts = _arguments(count) if calls else [_WORDS[n % len(_WORDS)] for n in range(count)]
    usage = {"prompt_tokens": 20, "completion_tokens": count, "total_tokens": 20 + count}
    opening = {"role": "assistant", "content": None, "tool_calls": [_call("")]} if calls else _OPENING
    finish = "tool_calls" if calls else "stop"
    tail = [_chunk(model, {}, finish), _event({**_base(model), "choices": [], "usage": usage})]
    return Answer(
        json=_whole(model, "".join(texts), calls, finish, usage),
        head=_STREAM_HEAD + _chunk(model, opening),
        deltas=tuple(_chunk(model, _delta(text, calls)) for text in texts),
        tail=b"".join(tail) + _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
        pace=milliseconds / 1000 if kind == "paced" else 0,
    )


_OPENING = {"role": "assistant", "content": ""}


def _arguments(count: int) -> list[str]:
    """A JSON object in `count` pieces."""
    return ['{"text": "', *("piece " for _ in range(count - 2)), '"}']


def _call(arguments: str) -> dict[str, Any]:
    function = {"name": "note", "arguments": arguments}
    return {"index": 0, "id": "call_0123456789abcdef", "type": "function", "function": function}


def _delta(text: str, calls: bool) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} if calls else {"content": text}


def _base(model: str, kind: str = "chat.completion.chunk") -> dict[str, Any]:
    return {"id": "chatcmpl-0123456789abcdef", "object": kind, "created": 1_700_000_000, "model": model}


def _chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event({**_base(model), "choices": [choice]})


def _event(value: object) -> bytes:
    """An event in an HTTP chunk of its own, as servers send it."""
    return _http_chunk(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(model: str, text: str, calls: bool, finish: str, usage: dict[str, int]) -> bytes:
    said = {"content": None, "tool_calls": [_call(text)]} if calls else {"content": text}
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
    return json_answer({**_base(model, "chat.completion"), "choices": [choice], "usage": usage})


def json_answer(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_MODELS = json_answer({"object": "list", "data": [{"id": "burst-200", "object": "model"}]})
_UNKNOWN = json_answer({"error": {"message": "No such model."}}, "404 Not Found")


# ---- how it is said ---------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """A client's connection: requests one after another, each answered at once."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= size:
            request = self._received[:size] if size < len(self._received) else self._received
            self._received = self._received[size:]
            self._answer(request)

    def _answer(self, request: bytearray) -> None:
        found = _MODEL.search(request)
        if found is None:
            self.transport.write(_MODELS if request.startswith(b"GET") else _UNKNOWN)
            return
        model, kind, count, pace = found.groups()
        told = answer(model.decode(), kind.decode(), int(count), int(pace or PACE * 1000))
        place = request.rfind(b'"stream"')  # behind all that was said, which may be long
        if place < 0 or not _STREAM.match(request, place):
            self.transport.write(told.json)
        elif told.pace:
            self._pace(told)
        else:
            self._burst(told)

    def _burst(self, told: Answer) -> None:
        self.transport.write(told.head)
        for start in range(0, len(told.deltas), _BURST):
            self.transport.write(b"".join(told.deltas[start : start + _BURST]))
        self.transport.write(told.tail)

    def _pace(self, told: Answer) -> None:
        """One write for each delta, by a clock that does not drift."""
        loop = asyncio.get_running_loop()
        deltas = iter(told.deltas)
        due = loop.time()
        self.transport.write(told.head)

        def tick() -> None:
            nonlocal due
            delta = next(deltas, None)
            if delta is None:
                self.transport.write(told.tail)
                return
            self.transport.write(delta)
            due += told.pace
            self._timer = loop.call_at(due, tick)

        tick()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    uvloop.run(serve(parser.parse_args().port))
