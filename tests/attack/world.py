"""What an attack has to do with: the server, its upstream, a probe, and a record of what came of it all."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import msgspec
from tests.attack.faults import Fault, failure_in, fault_of
from tests.attack.probe import Probe
from tests.attack.server import Server
from tests.scripted import Upstream

Json = Any
KEYS = {"alice": "sk-antiphon-alice", "mallory": "sk-antiphon-mallory"}
"""The projects and their keys."""
HANG = 120.0
"""Seconds after which a request that is not answered counts as one that hangs."""
_LAST = ("response.completed", "response.failed", "response.incomplete")
ENVELOPE = {"message", "type", "param", "code"}


class Told(msgspec.Struct):
    """An answer of the server's."""

    status: int
    """0: none."""
    body: bytes = b""

    @property
    def json(self) -> Json:
        return msgspec.json.decode(self.body)


@dataclass
class Held:
    """What one input did to the server."""

    name: str
    status: str
    seconds: float
    worst: float
    """Longest wait of the probe meanwhile, in seconds."""
    grown: int
    """Bytes."""


@dataclass
class Record:
    """What came of it."""

    tried: Counter[str] = field(default_factory=Counter)
    """Inputs by section."""
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    """5xx, and responses that failed."""
    hangs: int = 0
    held: list[Held] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What this machine does not allow, with the reason."""
    most_memory: int = 0
    """Bytes of the server's own process."""
    most_children: int = 0


class World:
    """One server under attack."""

    def __init__(
        self, server: Server, upstream: Upstream, probe: Probe, http: aiohttp.ClientSession, seed: int
    ) -> None:
        self.server = server
        self.upstream = upstream
        self.probe = probe
        self.http = http
        self.seed = seed
        self.random = Random(seed)
        self.record = Record()
        self.watch: Callable[[Held], None] = lambda _: None
        """Is shown what each input did, as soon as it is known."""

    def broken(self, what: str) -> None:
        """Something that must not be."""
        self.record.violations.append(what[:500])

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        project: str = "mallory",
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        """The answer to a request; a body that is no bytes is sent as JSON. An answer that never comes, and
        one outside the envelope, are violations."""
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        sent = {"Authorization": f"Bearer {KEYS[project]}", "Content-Type": "application/json"}
        try:
            async with asyncio.timeout(HANG):
                told = await self._send(method, path, content, {**sent, **(headers or {})})
        except TimeoutError:
            self.record.hangs += 1
            self.broken(f"{method} {path} hangs: {(content or b'')[:200]!r}")
            return Told(0)
        except (aiohttp.ClientError, OSError) as fault:
            told = Told(0)
            self.broken(f"no answer ({fault!r}): {method} {path} {(content or b'')[:200]!r}")
        self._look(told, f"{method} {path} {(content or b'')[:300]!r}")
        return told

    async def _send(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Told:
        url = f"{self.server.url}{path}"
        async with self.http.request(method, url, data=content, headers=headers) as response:
            return Told(response.status, await response.read())

    async def ids(self, project: str = "mallory", text: str = "Hi") -> dict[str, str]:
        """Something of each kind that a project can have, with a text in it, by the name of its kind."""
        item = {"type": "message", "role": "user", "content": text}
        stated = {"bytes": 5, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
        made = {
            "response": await self._made("/v1/responses", {"model": "m", "input": text}, project),
            "conversation": await self._made("/v1/conversations", {"items": [item]}, project),
            "prompt": await self._made("/v1/prompts", {"instructions": text}, project),
            "upload": await self._made("/v1/uploads", stated, project),
            "file": await self._file(text, project),
            "container": await self._made("/v1/containers", {"name": text}, project),
            "skill": await self._skill(text, project),
        }
        put = {"file_id": made["file"]}
        made["held"] = await self._made(f"/v1/containers/{made['container']}/files", put, project)
        items = await self.ask("GET", f"/v1/conversations/{made['conversation']}/items", project=project)
        return {**made, "item": items.json["data"][0]["id"]}

    async def _made(self, path: str, body: Json, project: str) -> str:
        told = await self.ask("POST", path, body, project)
        made: str = told.json["id"]
        return made

    async def _file(self, text: str, project: str) -> str:
        form = aiohttp.FormData()
        form.add_field("purpose", "user_data")
        form.add_field("file", text.encode(), filename="a.txt", content_type="text/plain")
        return await self._uploaded("/v1/files", form, project)

    async def _skill(self, text: str, project: str) -> str:
        form = aiohttp.FormData(quote_fields=False)
        content = f"---\nname: told\ndescription: {text}\n---\n".encode()
        form.add_field("files[]", content, filename="told/SKILL.md", content_type="text/markdown")
        return await self._uploaded("/v1/skills", form, project)

    async def _uploaded(self, path: str, form: aiohttp.FormData, project: str) -> str:
        headers = {"Authorization": f"Bearer {KEYS[project]}"}
        async with self.http.post(f"{self.server.url}{path}", data=form, headers=headers) as response:
            made: str = (await response.json())["id"]
            return made

    async def frame(self, text: bytes, project: str = "mallory") -> Told:
        """What is said to a frame in the end, as a status."""
        headers = {"Authorization": f"Bearer {KEYS[project]}"}
        try:
            async with (
                asyncio.timeout(HANG),
                self.http.ws_connect(f"{self.server.url}/v1/responses", headers=headers) as socket,
            ):
                await socket.send_str(text.decode())
                async for message in socket:
                    said = msgspec.json.decode(message.data)
                    if said["type"] == "error" and "status" in said:
                        return Told(said["status"], msgspec.json.encode({"error": said["error"]}))
                    if said["type"] in _LAST:
                        return Told(200, msgspec.json.encode(said["response"]))
        except TimeoutError:
            self.record.hangs += 1
            self.broken(f"a frame hangs: {text[:200]!r}")
        except (aiohttp.ClientError, OSError):
            pass
        return Told(0)

    def hears(self, said: Json, frame: bytes) -> bool:
        """What a connection says; whether it is the last that it says to a frame."""
        kind, asked = said["type"], f"frame {frame[:300]!r}"
        if kind == "error" and "status" in said:  # else it is the event before response.failed
            self.record.statuses[said["status"]] += 1
            if said["status"] >= 500:
                self.faulty(said["status"], said["error"], asked)
            return True
        if kind in _LAST:
            self.record.statuses[200] += 1
            if said["response"]["status"] == "failed":
                self.faulty(200, said["response"]["error"], asked)
        return kind in (*_LAST, "response.steer.failed", "response.inject.failed")

    def faulty(self, status: int, error: Json, asked: str) -> None:
        """Something is broken, the server says."""
        fault = fault_of(status, error)
        self.record.faults[fault] += 1
        if not fault.allowed:
            self.broken(f"{status}: {asked}: {error}")

    def _look(self, told: Told, asked: str) -> None:
        self.record.statuses[told.status] += 1
        if told.status >= 500 and _is_envelope(told.body):
            self.faulty(told.status, told.json["error"], asked)
        elif told.status == 200 and (failure := failure_in(told.body)) is not None:
            self.faulty(200, failure, asked)
        if told.status >= 400 and not asked.startswith("HEAD") and not _is_envelope(told.body):
            self.broken(f"no envelope: {asked}: {told.status} {told.body[:200]!r}")

    @asynccontextmanager
    async def watched(self, name: str) -> AsyncIterator[Held]:
        """What the block does to the server: its loop, its memory, its life."""
        before, begun = self.server.resident(), time.monotonic()
        held = Held(name, "", 0.0, 0.0, 0)
        sampler = asyncio.create_task(self._sample(held, before))
        try:
            yield held
        finally:
            sampler.cancel()
            ended = time.monotonic()
            held.seconds = ended - begun
            await asyncio.sleep(0.1)
            held.worst = self.probe.worst(begun, ended)
            self.record.held.append(held)
            if self.server.revive():
                held.status = "died"
                self.broken(f"{name} ends the server")
            self.watch(held)

    async def _sample(self, held: Held, before: int) -> None:
        while True:
            resident = self.server.resident()
            held.grown = max(held.grown, resident - before)
            self.record.most_memory = max(self.record.most_memory, resident)
            self.record.most_children = max(self.record.most_children, self.server.children())
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Effort:
    """How much is tried."""

    most: int
    """Inputs of each part."""
    quick: bool = False
    """Leaves out what takes its time."""


Section = Callable[[World, Effort], Awaitable[None]]
"""A part of the attack."""


def _is_envelope(body: bytes) -> bool:
    try:
        return set(msgspec.json.decode(body)["error"]) == ENVELOPE
    except (msgspec.DecodeError, KeyError, TypeError):
        return False
