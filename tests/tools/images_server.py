"""A server of pictures that answers as the documented ones do: OpenAI, vLLM-omni, SGLang, sd.cpp, LocalAI.

    with ImagesServer("vllm_omni") as server:
        ...  # point [images] base_url at server.base_url
        assert server.last.fields["prompt"] == "a cat"

It draws real PNGs of the size that was asked for, each in a colour of its own, takes what its kind takes, and
refuses the rest in the words and the form of its kind.
"""

import asyncio
import base64
import json
import random
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]

COMMON = {"model", "prompt", "n", "size"}
COMPRESSED = COMMON | {"output_format", "output_compression"}
BASE64 = {"response_format"}
OPENAI = COMPRESSED | {
    *("quality", "background", "moderation", "partial_images", "stream", "input_fidelity", "user"),
    *("complexity", "frame_count", "frame_duration_ms", "svg"),
}
KNOWN = {
    "openai": OPENAI,
    "vllm_omni": COMPRESSED | BASE64 | {"background"},
    "sglang": COMPRESSED | BASE64 | {"background", "quality"},
    "sd_cpp": COMPRESSED,
    "localai": COMMON | BASE64 | {"quality"},
    "plain": COMMON,
}
OWNERS = {"openai": "openai", "vllm_omni": "vllm", "sglang": "sglang", "sd_cpp": "local"}
USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 272,
    "total_tokens": 322,
}


def png(width: int = 16, height: int = 16, color: int = 0, weight: int = 0) -> bytes:
    """A picture of one colour. `weight`: bytes that it has beside it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = b"\0" + bytes((color, 255 - color, 128)) * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(line * height, 1)
    rest = chunk(b"noIs", random.Random(color).randbytes(weight)) if weight else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + rest + chunk(b"IEND", b"")


@dataclass(frozen=True)
class Asked:
    """A request for pictures."""

    path: str
    headers: Mapping[str, str]
    fields: Json
    files: list[tuple[str, bytes]] = field(default_factory=list)
    """With the fields' names."""


class ImagesServer:
    """One of `kind`. `answer` may put an answer of its own in place of pictures."""

    def __init__(self, kind: str = "openai") -> None:
        self.kind = kind
        self.requests: list[Asked] = []
        self.answer: Callable[[Asked], web.StreamResponse] | None = None
        self.partials: int | None = None
        """How many are streamed; None: as many as were asked for."""
        self.weight = 0
        """Bytes that each picture has beside its colour."""
        self.gate: threading.Event | None = None
        """Pictures wait until it is set."""
        self.reached = threading.Event()
        """Set when a request waits there."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.base_url = ""
        self.kept: dict[str, str] = {}
        """Pictures that can be had by name, in base64."""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        if self.gate is not None:
            self.gate.set()
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """From now on nobody answers."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()

    @property
    def last(self) -> Asked:
        return self.requests[-1]

    def reset(self) -> None:
        self.requests.clear()
        self.answer = self.partials = self.gate = None
        self.weight = 0
        self.reached.clear()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/images/generations", self._draw)
        app.router.add_post("/v1/images/edits", self._draw)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/images/{name}/content", self._content)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{port}/v1"

    async def _models(self, _: web.Request) -> web.Response:
        name = "sd-cpp-local" if self.kind == "sd_cpp" else "painter"
        owner = OWNERS.get(self.kind, "somebody")
        return web.json_response({"object": "list", "data": [{"id": name, "owned_by": owner}]})

    async def _read(self, request: web.Request) -> Asked:
        headers, files = dict(request.headers), []
        if request.content_type == "multipart/form-data":
            fields: Json = {}
            for name, value in (await request.post()).items():
                if isinstance(value, web.FileField):
                    files.append((name, value.file.read()))
                else:
                    fields[name] = value
            fields = {name: _number(value) for name, value in fields.items()}
        else:
            fields = await request.json()
        asked = Asked(request.path, headers, fields, files)
        self.requests.append(asked)
        return asked

    async def _draw(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request)
        if self.gate is not None:
            self.reached.set()
            await asyncio.to_thread(self.gate.wait)
        if self.answer is not None:
            return self.answer(asked)
        unknown = sorted(asked.fields.keys() - KNOWN[self.kind])
        if unknown:
            return self.refused(f"Unknown parameter: '{unknown[0]}'.", unknown[0])
        if asked.path.endswith("edits") and not any(name.startswith("image") for name, _ in asked.files):
            return self.refused("Field 'image' is required", "image")
        if asked.fields.get("stream"):
            return await self._stream(request, asked)
        return web.json_response(self._pictures(asked))

    def refused(self, words: str, param: str | None = None, status: int = 400) -> web.Response:
        if self.kind in ("vllm_omni", "sglang"):
            return web.json_response({"detail": words}, status=status)
        if self.kind == "sd_cpp":
            return web.json_response({"error": words}, status=status)
        error = {
            "message": words,
            "type": "invalid_request_error",
            "param": param,
            "code": "unknown_parameter",
        }
        return web.json_response({"error": error}, status=status)

    def picture(self, asked: Asked, number: int) -> str:
        """What is drawn, in base64."""
        size = str(asked.fields.get("size") or "64x32")
        width, height = map(int, size.split("x"))
        return base64.b64encode(png(width, height, len(self.requests) * 16 + number, self.weight)).decode()

    def _pictures(self, asked: Asked) -> Json:
        made = [self.picture(asked, number) for number in range(int(asked.fields.get("n") or 1))]
        entries: list[Json] = [{"b64_json": data} for data in made]
        if self.kind == "localai":
            entries = [{"url": f"{self.base_url}/images/{data[-12:-4]}/content"} for data in made]
            self.kept = dict(zip((data[-12:-4] for data in made), made, strict=True))
        if self.kind in ("vllm_omni", "sglang"):
            entries = [{"b64_json": data, "url": None, "revised_prompt": None} for data in made]
        answer: Json = {"created": 1, "data": entries}
        if self.kind == "openai":
            answer |= {"background": "opaque", "output_format": "png", "quality": "low", "usage": USAGE}
            answer["size"] = asked.fields.get("size") or "64x32"
        return answer

    async def _stream(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        stem = "image_edit" if asked.path.endswith("edits") else "image_generation"
        look = {"size": "64x32", "quality": "low", "background": "opaque", "output_format": "png"}
        most = int(asked.fields["partial_images"])
        for number in range(most if self.partials is None else self.partials):
            event = {"type": f"{stem}.partial_image", "partial_image_index": number, "created_at": 1}
            await _send(response, event | look | {"b64_json": self.picture(asked, number)})
        done = {"type": f"{stem}.completed", "created_at": 1, "usage": USAGE}
        await _send(response, done | look | {"b64_json": self.picture(asked, 9)})
        return response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        """A chat model that answers with pictures, as OpenRouter has them."""
        asked = await self._read(request)
        if self.answer is not None:
            return self.answer(asked)
        url = f"data:image/png;base64,{self.picture(asked, 0)}"
        message = {"role": "assistant", "content": "Here it is.", "images": [_image(url)]}
        usage = {"prompt_tokens": 9, "completion_tokens": 1300, "total_tokens": 1309}
        usage["completion_tokens_details"] = {"image_tokens": 1290}  # type: ignore[assignment]
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice], "usage": usage})

    async def _content(self, request: web.Request) -> web.Response:
        data = base64.b64decode(self.kept[request.match_info["name"]])
        return web.Response(body=data, content_type="image/png")


def _image(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


async def _send(response: web.StreamResponse, event: Json) -> None:
    await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _number(value: Any) -> Any:
    return int(value) if str(value).isdigit() else value
