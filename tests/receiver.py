"""An endpoint that receives webhooks, over real HTTP."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web


@dataclass(frozen=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    stuck: bool = False
    """It does not come before the receiver closes."""


class Receiver:
    """Use it as an async context manager. What `answers` has is answered, one after another, then 200."""

    def __init__(self, port: int = 0) -> None:
        self.answers: deque[Answer] = deque()
        self.received: list[Received] = []
        self.most_at_once = 0
        self.gate: asyncio.Event | None = None
        """If there is one, nothing is answered before it is set."""
        self._here = 0
        self._new: asyncio.Queue[Received] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._port = port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def port(self) -> int:
        return int(self._runner.addresses[0][1])

    async def next(self) -> Received:
        """The next that comes, or has come."""
        async with asyncio.timeout(60):
            return await self._new.get()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed.set()
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        received = Received(request.path, dict(request.headers), await request.read())
        answer = self.answers.popleft() if self.answers else Answer()
        self.received.append(received)
        self._here += 1
        self.most_at_once = max(self.most_at_once, self._here)
        self._new.put_nowait(received)
        if self.gate is not None:
            await self.gate.wait()
        if answer.stuck:
            await self._closed.wait()
        self._here -= 1
        return web.Response(status=answer.status, headers=answer.headers)
