"""An application that is really served, in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

import uvicorn


class Served:
    """An ASGI application under uvicorn, on a free port of loopback. `run` runs its event loop; `settings`
    are uvicorn's."""

    def __init__(
        self,
        app: Any,
        run: Callable[[Coroutine[Any, Any, None]], object] = asyncio.run,
        **settings: Any,
    ) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, lifespan="on", **settings))
        # Of a socket that says no protocol asyncio does not know that it may send at once.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._run_loop = run
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self.thread.start()
        assert self._ready.wait(20), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.should_exit = True
        self.thread.join(20)
        self._socket.close()

    def _run(self) -> None:
        started = self._server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await started(sockets)
            self._ready.set()

        self._server.startup = startup  # type: ignore[method-assign]
        with contextlib.suppress(asyncio.CancelledError):
            self._run_loop(self._server.serve([self._socket]))
