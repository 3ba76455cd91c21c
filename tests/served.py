"""An application that is really served, in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

import uvicorn


class _Prompt(uvicorn.Server):
    """Ends when it is told to. uvicorn looks ten times a second whether it should, and waits as long again
    until it looks who is still here; tests start a server each time that they need one of their own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def stop(self) -> None:
        """From another thread."""
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended by itself
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            await asyncio.wait_for(self._emptied(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()

    async def _emptied(self) -> None:
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.005)


class Served:
    """An ASGI application under uvicorn, on a free port of loopback. `run` runs its event loop; `settings`
    are uvicorn's."""

    def __init__(
        self,
        app: Any,
        run: Callable[[Coroutine[Any, Any, None]], object] = asyncio.run,
        **settings: Any,
    ) -> None:
        self._server = _Prompt(uvicorn.Config(app, lifespan="on", **settings))
        # Of a socket that says no protocol asyncio does not know that it may send at once.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._run_loop = run
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self.thread.start()
        assert self._server.ready.wait(60), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.stop()
        self.thread.join(60)
        self._socket.close()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._run_loop(self._server.serve([self._socket]))
