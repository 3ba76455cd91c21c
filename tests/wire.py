"""The test harness's side of the wire: an HTTP transport that checks every answer that passes through it.

Whatever a test asks through the official client, this holds the answer against the SDK's own types
(strictly), the error envelope, and the equation that everything rests on:

    fold(events) == the JSON answer == what GET returns
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import msgspec
from openai.types import Model, ModerationCreateResponse
from openai.types.beta import BetaResponse, BetaResponseItem, BetaResponseStreamEvent
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItem
from openai.types.responses import (
    CompactedResponse,
    InputTokenCountResponse,
    Response,
    ResponseItem,
    ResponseStreamEvent,
)
from tests.sdk_types import check

from antiphon.stream.fold import fold

Json = dict[str, Any]

# Where we, as the real API, say more or other than the SDK's types (each has its row in the ledger).
DIVERGENCES = (
    ".search_content_types: unknown to WebSearchTool",  # these four are shown by the real API
    ".return_token_budget: unknown to WebSearchTool",
    ".image_settings: unknown to WebSearchTool",
    ".blocked_domains: unknown to Filters",
    ".tool_choice.type: 'web_search' is none of",  # taken by the real API
    ".tool_choice.type: 'web_search_2025_08_26' is none of",
    ".results: unknown to ResponseFunctionWebSearch",  # the SDK has only the value of include
    ".type: 'api' is none of 'url'",  # sources without an address, which the real API shows by name
    ".name: unknown to ActionSearchSource",
    ".url: missing (ActionSearchSource)",
    ".n: unknown to ImageGeneration",  # shown by the real API
    ".vector_store_id: unknown to Result",  # shown by the real API
    ".store: unknown",
    ".frequency_penalty: unknown",
    ".presence_penalty: unknown",
    ".bytes: unknown to Logprob",  # the SDK has it in the finished part alone
    ".error: unknown",  # the nested form of the error event, and ours beside it
    ".call_id: unknown to LocalShellCallOutput",
    ".created_by: unknown to ResponseCustomToolCall",  # nor to ...Output: its listing types know it
    ".type: 'input_audio' is none of",
    ".input_audio: unknown",
    ".detail: unknown to ResponseComputerToolCallOutputScreenshot",
    ".prompt_cache_breakpoint: unknown to ResponseComputerToolCallOutputScreenshot",
    ".status: unknown to ResponseCustomToolCall",
    ": unknown to Categories",  # a judge may have categories of its own beside the thirteen
    ": unknown to CategoryScores",
    ": unknown to CategoryAppliedInputTypes",
)
# Told by the real API, and in no type of the SDK.
UNDOCUMENTED = (
    "response.cancelled",
    "response.apply_patch_call_operation_diff.delta",
    "response.apply_patch_call_operation_diff.done",
)

# Answers of the upstream, handed on as they are.
PASSED = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
)


class Broken(AssertionError):
    """An answer that the wire must not carry."""


class Checker:
    """Looks at answers. `get` fetches a path from the same server, as the client would."""

    def __init__(self) -> None:
        self.seen = 0

    def look(self, request: httpx2.Request, status: int, content_type: str, body: bytes) -> Json | None:
        """Check an answer; the response that it is or tells, when there is one."""
        self.seen += 1
        path = request.url.path
        if status >= 400:
            _envelope(body)
            return None
        if path in PASSED:
            return None
        if content_type.startswith("text/event-stream"):
            return _stream(body, _in_beta(request, body, ResponseStreamEvent))
        if not content_type.startswith("application/json"):
            return None
        value = msgspec.json.decode(body)
        kind = _kind(request.method, path)
        if kind == "page":
            kind = ConversationItem if "/conversations/" in path else ResponseItem
            _page(value, _in_beta(request, body, kind))
        elif kind is CompactedResponse:
            _compacted(value)
        elif kind is not None:
            _fits(value, _in_beta(request, body, kind))
        return value if kind is Response else None


_BETA = {
    Response: BetaResponse,
    ResponseItem: BetaResponseItem,
    ResponseStreamEvent: BetaResponseStreamEvent,
    ConversationItem: ConversationItem | BetaResponseItem,
}
_AGENTS = (b'"agent":', b'"agent_message"', b'"multi_agent')


def _in_beta(request: httpx2.Request, body: bytes, kind: Any) -> Any:
    """A type, as the client of the beta knows it. What is of several agents is shown so to every client."""
    if request.url.params.get("beta") == "true" or any(mark in body for mark in _AGENTS):
        return _BETA.get(kind, kind)
    return kind


def _envelope(body: bytes) -> None:
    error = msgspec.json.decode(body)
    if set(error) != {"error"} or set(error["error"]) != {"message", "type", "param", "code"}:
        raise Broken(f"Not the error envelope: {body!r}")
    if "Traceback" in error["error"]["message"]:
        raise Broken(f"A stack trace: {body!r}")


def _stream(body: bytes, kind: Any) -> Json | None:
    """The response that a stream tells; None when it tells only the rest of one. Its frames are as on the
    real API; a comment is none."""
    if not body.endswith(b"\n\n") or b"\r" in body:
        raise Broken(f"The stream does not end with a whole event: {body[-200:]!r}")
    events = []
    for frame in body[:-2].split(b"\n\n"):
        if frame.startswith(b":"):
            continue
        head, _, data = frame.partition(b"\n")
        event = msgspec.json.decode(data.removeprefix(b"data: "))
        if head != b"event: " + event["type"].encode() or b"\n" in data:
            raise Broken(f"Not a frame: {frame!r}")
        events.append(event)
        bare = {name: value for name, value in event.items() if name != "obfuscation"}
        if event["type"] not in UNDOCUMENTED:
            _fits(bare, kind)
    if events[-1]["type"] not in _TERMINAL:
        raise Broken(f"The stream ends with {events[-1]}")
    first = events[0]["sequence_number"]
    if [event["sequence_number"] for event in events] != list(range(first, first + len(events))):
        raise Broken("The stream has gaps")
    return fold(events) if first == 0 else None


_TERMINAL = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}


def _fits(value: Json, kind: Any) -> None:
    found = [line for line in check(value, kind) if not any(known in line for known in DIVERGENCES)]
    if found:
        raise Broken("\n".join(found))


def _page(value: Json, kind: Any) -> None:
    if set(value) != {"object", "data", "first_id", "last_id", "has_more"} or value["object"] != "list":
        raise Broken(f"Not a page: {value}")
    for item in value["data"]:
        _fits(item, kind)
    ids = [item["id"] for item in value["data"]] or [None]
    if (value["first_id"], value["last_id"]) != (ids[0], ids[-1]):
        raise Broken(f"first_id and last_id do not fit: {value}")


def _compacted(value: Json) -> None:
    """Its output has messages of users, which the SDK's type does not know: they are input items."""
    _fits({**value, "output": []}, CompactedResponse)
    for item in value["output"]:
        _fits(item, ResponseItem)


def _kind(method: str, path: str) -> Any:
    parts = path.removeprefix("/v1/").strip("/").split("/")
    if parts[0] == "responses":
        if method == "DELETE":
            return None
        if parts[-1] == "compact":
            return CompactedResponse
        if parts[-1] == "input_tokens":
            return InputTokenCountResponse
        return "page" if parts[-1] == "input_items" else Response
    if parts[0] == "conversations":
        if len(parts) == 2 and method == "DELETE":
            return ConversationDeletedResource
        if len(parts) == 4 and method == "GET":
            return ConversationItem
        return "page" if parts[-1] == "items" else Conversation
    if parts[0] == "moderations":
        return ModerationCreateResponse
    return Model if parts[0] == "models" and len(parts) > 1 else None


def _same(told: Json, stored: Json) -> None:
    if msgspec.json.encode(told) != msgspec.json.encode(stored):
        raise Broken(f"GET does not return what was told:\n{told}\n{stored}")


def _to_fetch(request: httpx2.Request, told: Json | None) -> httpx2.Request | None:
    """The GET that must return the same, when the response is kept."""
    if told is None or request.method != "POST" or not told["store"] or told["status"] == "queued":
        return None
    headers = {"authorization": request.headers.get("authorization", "")}
    url = request.url.join(f"/v1/responses/{told['id']}")
    return httpx2.Request("GET", url, headers=headers, params={"include[]": _included(request)})


def _included(request: httpx2.Request) -> list[str]:
    """What the body of a request includes; one that is packed includes nothing."""
    if request.headers.get("content-encoding"):
        return []
    return msgspec.json.decode(request.read() or b"{}").get("include") or []


class _Recorded(httpx2.SyncByteStream):
    """Passes a body on, and has it checked when it has ended. A body left early is not checked."""

    def __init__(self, stream: Any, done: Any) -> None:
        self._stream = stream
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        chunks = []
        for chunk in self._stream:
            chunks.append(chunk)
            yield chunk
        self._done(b"".join(chunks))

    def close(self) -> None:
        self._stream.close()


class CheckedTransport(httpx2.BaseTransport):
    """For the synchronous client."""

    def __init__(self, checker: Checker) -> None:
        self._inner = httpx2.HTTPTransport()
        self._checker = checker

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)

        def done(body: bytes) -> None:
            kind = response.headers.get("content-type", "")
            told = self._checker.look(request, response.status_code, kind, body)
            fetch = _to_fetch(request, told)
            if fetch is not None and told is not None:
                answer = self._inner.handle_request(fetch)
                _same(told, msgspec.json.decode(answer.read()))

        response.stream = _Recorded(response.stream, done)
        return response

    def close(self) -> None:
        self._inner.close()


class _RecordedAsync(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, done: Any) -> None:
        self._stream = stream
        self._done = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = []
        async for chunk in self._stream:
            chunks.append(chunk)
            yield chunk
        await self._done(b"".join(chunks))

    async def aclose(self) -> None:
        await self._stream.aclose()


class CheckedAsyncTransport(httpx2.AsyncBaseTransport):
    """For the asynchronous client."""

    def __init__(self, checker: Checker) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._checker = checker

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)

        async def done(body: bytes) -> None:
            kind = response.headers.get("content-type", "")
            told = self._checker.look(request, response.status_code, kind, body)
            fetch = _to_fetch(request, told)
            if fetch is not None and told is not None:
                answer = await self._inner.handle_async_request(fetch)
                _same(told, msgspec.json.decode(await answer.aread()))

        response.stream = _RecordedAsync(response.stream, done)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
