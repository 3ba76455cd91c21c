"""A scripted upstream: a real HTTP server that speaks Chat Completions and says what a test tells it to.

    with Upstream() as upstream:
        upstream.script(Answer("Hello"), Answer(calls=[Called("add", '{"a": 1}')]))
        ...  # point the code under test at upstream.base_url
        assert upstream.last.body["model"] == "m"

It runs in a thread of its own, so synchronous and asynchronous tests use it alike, and every method may be
called from any thread. Nothing sleeps: an answer waits at a `Gate` until the test opens it. Requests that a
real server would refuse are refused (`chat_rules`), so that our bugs show.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from aiohttp import web
from tests import messages_rules
from tests.chat_rules import complaint

PATIENCE = 120.0
"""Seconds after which waiting for something that never happens fails."""
BEAT = 0.02
"""Seconds between signs of life."""

# ---- what it says -----------------------------------------------------------------------------------


class Gate:
    """Holds an answer back before its event number `after` (0: before the headers) until it is opened."""

    def __init__(self, after: int = 1) -> None:
        self.after = after
        self._reached = threading.Event()
        self._opened = threading.Event()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        with self._lock:
            self._opened.set()
            if self._waiter:
                loop, event = self._waiter
                loop.call_soon_threadsafe(event.set)

    def wait_reached(self) -> None:
        """Until the answer stands at the gate."""
        assert self._reached.wait(PATIENCE), "the answer never came to its gate"

    async def reached(self) -> None:
        await asyncio.to_thread(self.wait_reached)

    async def pass_through(self, beat: Callable[[], Awaitable[None]] | None = None) -> None:
        """Used by the server. `beat`: done again and again meanwhile."""
        event = asyncio.Event()
        with self._lock:
            self._waiter = (asyncio.get_running_loop(), event)
            if self._opened.is_set():
                event.set()
        self._reached.set()
        while beat is not None and not event.is_set():
            await beat()
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), BEAT)
        await event.wait()


@dataclass(frozen=True)
class Called:
    """A function call of the model."""

    name: str
    arguments: str = "{}"
    id: str | None = "call_{n}"
    """`{n}` is the number of the call in this answer; None: no id."""


@dataclass(frozen=True)
class Usage:
    prompt: int = 7
    completion: int = 5
    cached: int = 0
    reasoning: int = 0

    def wire(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


@dataclass(frozen=True)
class Answer:
    """One answer. Everything is told in this order: reasoning, text, refusal, calls, the end, usage."""

    text: str = ""
    calls: Sequence[Called] = ()
    reasoning: str = ""
    refusal: str = ""
    size: int = 0
    """Characters per delta; 0: each in one piece."""
    finish: str | None = ""
    """Empty: `tool_calls` when there are calls, else `stop`. None: no reason is told."""
    usage: Usage | None = Usage()
    reasoning_field: str = "reasoning_content"
    indexed: bool = True
    """Calls carry an index; otherwise each is told whole and without one."""
    plain: bool = False
    """Answers with JSON although a stream was asked for."""
    gate: Gate | None = None
    beat: bytes = b""
    """What is sent again and again while it waits there."""
    cut_after: int | None = None
    """Breaks off the connection after so many events; an answer in one piece anywhere."""
    done: bool = True
    """Ends with [DONE]."""
    status: int = 200
    error: Any = None
    """The body of an error: JSON, or text as it stands. For status 200: an error in the stream's middle."""
    raw: Sequence[bytes] | None = None
    """The bytes of the body, one write each, instead of all the above."""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    """An HTTP error as OpenAI tells it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, error={"error": error}, headers=named)


# ---- what it gets -----------------------------------------------------------------------------------


@dataclass
class Received:
    """A request, and what became of it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    connection: int
    """Which TCP connection it came by."""
    _gone: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def wait_gone(self) -> None:
        """Until the client has hung up in the middle of the answer."""
        assert self._gone.wait(PATIENCE), "the client never hung up"

    async def gone(self) -> None:
        await asyncio.to_thread(self.wait_gone)

    @property
    def hung_up(self) -> bool:
        return self._gone.is_set()

    def wait_ended(self) -> None:
        """Until the answer is out, or the client gone."""
        assert self._ended.wait(PATIENCE), "the answer never ended"


# ---- the server -------------------------------------------------------------------------------------

Matcher = Callable[[Any], bool]


class Upstream:
    """The server. Use it as a context manager, or `start` and `stop` it."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.reset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="scripted upstream", daemon=True)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self.port = 0

    def reset(self) -> None:
        """Forgets scripts and requests."""
        self._script: deque[Answer] = deque()
        self._refusing: Answer | None = None
        """The last answer of the script, if it was a refusal: a server that is broken stays so."""
        self._rules: list[tuple[Matcher, Answer]] = []
        self.requests: list[Received] = []
        """Requests for chat completions, in order of arrival."""
        self.others: list[Received] = []
        """All other requests."""
        self.default: Answer | None = None
        """What is said when the script is at its end; None: HTTP 500."""
        self.models: Sequence[str] = ("scripted",)
        self.listed: Mapping[str, Any] = {}
        """What the list says of each model besides."""
        self.told: Mapping[str, Any] = {}
        """What it says of single ones, by their names."""
        self.known_only = False
        """Refuses models that are not in `models`."""
        self.lenient = False
        """Refuses nothing."""
        self.extensions: frozenset[str] = frozenset()
        """Parameters that this server knows besides OpenAI's."""
        self.strict_template = False
        """Behaves like a server with a strict chat template."""
        self.tokenizer = ""
        """`messages` (like vLLM), `template` (like llama.cpp), or `busy`."""

    # -- for tests

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *answers: Answer) -> None:
        """The next answers, in order."""
        with self._arrived:
            self._script.extend(answers)

    def on(self, matcher: Matcher, answer: Answer) -> None:
        """The answer to every request whose body matches; comes before the script."""
        with self._arrived:
            self._rules.append((matcher, answer))

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def wait_requests(self, count: int) -> list[Received]:
        """Until so many requests for chat completions have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.requests) >= count, PATIENCE), "too few requests"
            return list(self.requests)

    def start(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the scripted upstream did not start"
        return self

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the thread

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._chat)
        app.router.add_post("/v1/messages", self._chat)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_post("/v1/responses", self._chat)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/apply-template", self._template)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _receive(self, request: web.Request, into: list[Received]) -> Received:
        try:
            body = json.loads(await request.read() or b"null")
        except ValueError:
            body = None
        received = Received(request.method, request.path, dict(request.headers), body, id(request.transport))
        with self._arrived:
            into.append(received)
            self._arrived.notify_all()
        return received

    def _next(self, body: Any) -> Answer:
        with self._arrived:
            for matcher, answer in self._rules:
                if matcher(body):
                    return answer
            if self._script:
                answer = self._script.popleft()
                self._refusing = answer if answer.status >= 400 else None
                return answer
        if self.default is None and self._refusing is not None:
            return self._refusing
        return self.default or refusal(500, "Nothing is scripted for this request.")

    # -- the endpoints

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        received = await self._receive(request, self.requests)
        try:
            return await self._answer(request, received.body)
        except (asyncio.CancelledError, ConnectionResetError):
            received._gone.set()
            raise
        finally:
            received._ended.set()

    async def _answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        if (wrong := self._wrong(request.path, body)) is not None:
            return _error(wrong)
        answer = self._next(body)
        if answer.gate and answer.gate.after == 0:
            await answer.gate.pass_through()
        if answer.status != 200:
            return _error(answer)
        if answer.raw is None and (answer.plain or not body.get("stream")):
            return await _plain(request, answer, body)
        return await _stream(request, answer, _events(answer, body))

    def _wrong(self, path: str, body: Any) -> Answer | None:
        if path == "/v1/messages" and not self.lenient and (wrong := messages_rules.complaint(body)):
            return refusal(400, wrong)
        if self.lenient or path != "/v1/chat/completions":
            return None
        if wrong := complaint(body, self.extensions, self.strict_template):
            return refusal(400, wrong)
        if self.known_only and body["model"] not in self.models:
            return refusal(404, f"The model `{body['model']}` does not exist.", "model_not_found")
        return None

    async def _list(self, request: web.Request) -> web.Response:
        await self._receive(request, self.others)
        entry = {"object": "model", "created": 1700000000, "owned_by": "tests", **self.listed}
        data = [{"id": name, **entry, **self.told.get(name, {})} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _tokenize(self, request: web.Request) -> web.Response:
        """A word is a token."""
        body = (await self._receive(request, self.others)).body
        if self.tokenizer == "busy":
            return web.json_response({"error": {"message": "Too many requests"}}, status=429)
        if self.tokenizer == "messages" and "messages" in body:
            return web.json_response({"count": len(_prompt(body).split()), "max_model_len": 4096})
        if self.tokenizer == "template" and "content" in body:
            return web.json_response({"tokens": list(range(len(body["content"].split())))})
        return web.json_response({"detail": "Not Found"}, status=404)

    async def _count(self, request: web.Request) -> web.Response:
        """The same, as the Messages API tells it."""
        body = (await self._receive(request, self.others)).body
        wrong = messages_rules.complaint({**body, "max_tokens": 1})
        if self.tokenizer != "messages" or wrong:
            return web.json_response({"error": {"message": wrong or "Not Found"}}, status=404)
        return web.json_response({"input_tokens": len(json.dumps(body["messages"]).split())})

    async def _template(self, request: web.Request) -> web.Response:
        body = (await self._receive(request, self.others)).body
        if self.tokenizer == "template":
            return web.json_response({"prompt": _prompt(body)})
        return web.json_response({"detail": "Not Found"}, status=404)


def _prompt(body: Any) -> str:
    return "\n".join(f"{message['role']}: {message['content']}" for message in body["messages"])


# ---- on the wire ------------------------------------------------------------------------------------


def _error(answer: Answer) -> web.Response:
    if isinstance(answer.error, str):
        kind = answer.content_type or "text/html"
        return web.Response(
            text=answer.error, status=answer.status, content_type=kind, headers=answer.headers
        )
    return web.json_response(answer.error, status=answer.status, headers=answer.headers)


async def _plain(request: web.Request, answer: Answer, body: Any) -> web.StreamResponse:
    """The answer in one piece. A gate anywhere holds all of it back."""
    if answer.gate and answer.gate.after:
        await answer.gate.pass_through()
    told = json.dumps(_completion(answer, body) if answer.error is None else answer.error).encode()
    response = web.StreamResponse(headers=answer.headers)
    response.content_type, response.content_length = "application/json", len(told)
    await response.prepare(request)
    if answer.cut_after is None:
        await response.write(told)
        return response
    await response.write(told[:10])
    assert request.transport is not None
    request.transport.close()
    return response


async def _stream(request: web.Request, answer: Answer, events: Iterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers=answer.headers)
    response.content_type = answer.content_type or "text/event-stream"
    await response.prepare(request)
    for number, event in enumerate(events):
        if answer.gate and number == answer.gate.after:
            await answer.gate.pass_through(partial(response.write, answer.beat) if answer.beat else None)
        if number == answer.cut_after:
            break
        await response.write(event)
    if answer.cut_after is not None:
        assert request.transport is not None
        request.transport.close()
        return response
    await response.write_eof()
    return response


def _events(answer: Answer, body: Any) -> Iterator[bytes]:
    if answer.raw is not None:
        yield from answer.raw
        return
    yield _event(_chunk(body, {"role": "assistant", "content": ""}))
    yield from (_event(chunk) for chunk in _chunks(answer, body))
    if answer.error is not None:
        yield _event(answer.error)
        return
    if (reason := _reason(answer)) is not None:
        yield _event(_chunk(body, {}, finish_reason=reason))
    if answer.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield _event(_chunk(body, None) | {"usage": answer.usage.wire()})
    if answer.done:
        yield b"data: [DONE]\n\n"


def _chunks(answer: Answer, body: Any) -> Iterator[dict[str, Any]]:
    for piece in _pieces(answer.reasoning, answer.size):
        yield _chunk(body, {answer.reasoning_field: piece})
    for piece in _pieces(answer.text, answer.size):
        logprobs = logprobs_of(piece, body["top_logprobs"]) if body.get("logprobs") else None
        yield _chunk(body, {"content": piece}, logprobs=logprobs)
    for piece in _pieces(answer.refusal, answer.size):
        yield _chunk(body, {"refusal": piece})
    for number, call in enumerate(answer.calls):
        yield from (_chunk(body, {"tool_calls": [piece]}) for piece in _call(answer, number, call))


def _call(answer: Answer, number: int, call: Called) -> Iterator[dict[str, Any]]:
    identity = {"id": call.id.format(n=number)} if call.id else {}
    whole = {**identity, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if not answer.indexed:
        yield whole
        return
    yield {"index": number, **whole, "function": {"name": call.name, "arguments": ""}}
    for piece in _pieces(call.arguments, answer.size):
        yield {"index": number, "function": {"arguments": piece}}


def _pieces(text: str, size: int) -> Iterator[str]:
    size = size or len(text)
    yield from (text[at : at + size] for at in range(0, len(text), size or 1))


def _reason(answer: Answer) -> str | None:
    return ("tool_calls" if answer.calls else "stop") if answer.finish == "" else answer.finish


def logprobs_of(text: str, top: int) -> dict[str, Any]:
    """The text as one token, with made-up alternatives."""
    others = [{"token": f"t{n}", "logprob": -1.0 - n, "bytes": list(f"t{n}".encode())} for n in range(top)]
    token = {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": others}
    return {"content": [token], "refusal": None}


def _logprobs_of_pieces(answer: Answer, top: int) -> dict[str, Any]:
    pieces = _pieces(answer.text, answer.size)
    tokens = [token for piece in pieces for token in logprobs_of(piece, top)["content"]]
    return {"content": tokens, "refusal": None}


def _chunk(body: Any, delta: Any, finish_reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": body["model"],
        "choices": [] if delta is None else [choice],
    }


def _event(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _completion(answer: Answer, body: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message[answer.reasoning_field] = answer.reasoning
    if answer.refusal:
        message["refusal"] = answer.refusal
    if answer.calls:
        whole = Answer(indexed=False)
        message["tool_calls"] = [p for n, call in enumerate(answer.calls) for p in _call(whole, n, call)]
    logprobs = _logprobs_of_pieces(answer, body["top_logprobs"]) if body.get("logprobs") else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": _reason(answer)}
    told = _chunk(body, None) | {"object": "chat.completion", "choices": [choice]}
    return told | ({"usage": answer.usage.wire()} if answer.usage else {})
