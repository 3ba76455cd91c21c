"""A real server and the official client, for tests over the wire.

The server is uvicorn in a thread, with SQLite in a temporary directory, and folds every log that it
writes (`verify`). Its upstream is scripted; the clients' transport checks every answer (`wire.py`).
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn
import uvloop
from openai import AsyncOpenAI, OpenAI
from tests.scripted import Upstream
from tests.wire import CheckedAsyncTransport, CheckedTransport, Checker

from antiphon.api.app import create_app
from antiphon.config import BackendSettings, Config, Server


class Running:
    """A server that runs in a thread of its own."""

    def __init__(self, config: Config) -> None:
        settings = uvicorn.Config(
            create_app(config),
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            log_level="error",
            lifespan="on",
        )
        self._server = uvicorn.Server(settings)
        # Of a socket that says no protocol asyncio does not know that it may send at once.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._ready.wait(20), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive(), "the server did not stop"

    def _run(self) -> None:
        started = self._server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await started(sockets)
            self._ready.set()

        self._server.startup = startup  # type: ignore[method-assign]
        with contextlib.suppress(asyncio.CancelledError):
            uvloop.run(self._server.serve([self._socket]))


def config_for(upstream: Upstream, data_dir: Path, server: Server | None = None) -> Config:
    """The configuration that `antiphon serve --upstream URL` makes, with the self-check on."""
    return Config(
        data_dir=str(data_dir),
        server=server or Server(verify=True),
        backends={"upstream": BackendSettings(base_url=upstream.base_url, default=True)},
    )


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(_upstream: Upstream) -> Upstream:
    """The scripted upstream, with nothing scripted yet."""
    _upstream.reset()
    return _upstream


@pytest.fixture(scope="session")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests: they share its store, as projects of users do."""
    with Running(config_for(_upstream, tmp_path_factory.mktemp("data"))) as running:
        yield running


@contextlib.contextmanager
def checked_client(url: str, api_key: str = "sk-test") -> Iterator[OpenAI]:
    """The official client, pointed at a server by its base URL; every answer is checked."""
    with (
        httpx2.Client(transport=CheckedTransport(Checker()), timeout=30) as http,
        OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0, http_client=http) as client,
    ):
        yield client


@pytest.fixture
def client(server: Running) -> Iterator[OpenAI]:
    with checked_client(server.url) as client:
        yield client


@pytest.fixture
async def aclient(server: Running) -> AsyncIterator[AsyncOpenAI]:
    async with (
        httpx2.AsyncClient(transport=CheckedAsyncTransport(Checker()), timeout=30) as http,
        AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="sk-test", max_retries=0, http_client=http
        ) as client,
    ):
        yield client


@pytest.fixture
def http(server: Running) -> Iterator[httpx2.Client]:
    """Plain HTTP to the server, for what the official client would not send."""
    transport = CheckedTransport(Checker())
    with httpx2.Client(base_url=server.url, transport=transport, timeout=30) as http:
        yield http
