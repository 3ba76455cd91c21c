"""A real server and the official client, for tests over the wire.

The server is uvicorn in a thread, with SQLite in a temporary directory, and folds every log that it
writes (`verify`). Its upstream is scripted; the clients' transport checks every answer (`wire.py`).
"""

import contextlib
import functools
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpcore2
import httpx2
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from msgspec.structs import replace
from openai import AsyncOpenAI, OpenAI
from tests.kept_at import CHOSEN, new_store, store_at
from tests.order import longest_first
from tests.s3 import shared_s3
from tests.scripted import PATIENCE, Upstream
from tests.served import Served
from tests.wire import CheckedAsyncTransport, CheckedTransport, Checker

from antiphon.api.protocol import HttpProtocol
from antiphon.application import create_application
from antiphon.config import BackendSettings, Blobs, Config, Sandbox, Server
from antiphon.guard import pool

# How fast examples are made says how busy the machine is, and nothing of the code under test. They are the
# same each time; others are looked for with `--hypothesis-profile others`.
settings.register_profile(
    "antiphon", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("others", parent=settings.get_profile("antiphon"), derandomize=False)
settings.load_profile("antiphon")

# Nor does how long a call in a child process lasts: what it may take of a processor is bounded apart.
pool._WAITS = 60

# Each client of httpx2 reads the certificates of the whole world: 25 ms, for every test.
httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)


class Running(Served):
    """Antiphon, run as `antiphon serve` runs it."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            create_application(config),
            uvloop.run,
            interface="asgi3",
            loop="uvloop",
            http=HttpProtocol,
            ws="websockets-sansio",
            log_level="error",
        )

    def stop(self) -> None:
        super().stop()
        assert not self.thread.is_alive(), "the server did not stop"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=("sqlite", "postgres"), default="sqlite", help="where servers keep")


def pytest_configure(config: pytest.Config) -> None:
    CHOSEN["store"] = config.getoption("--store")


def config_for(upstream: Upstream, data_dir: Path, server: Server | None = None) -> Config:
    """The configuration that `antiphon serve --upstream URL` makes, with the self-check on. No code runs: a
    test that wants it says with what."""
    return Config(
        data_dir=str(data_dir),
        store=store_at(data_dir),
        server=server or Server(verify=True),
        backends={"upstream": BackendSettings(base_url=upstream.base_url, default=True, dialect="generic")},
        sandbox=Sandbox(driver="none"),
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


def pytest_collection_finish() -> None:
    """What is there now stays: no collection of garbage need look at it."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that says `ON_BOTH_HOMES = True` runs with a server on each home of the store. Tests that are
    marked `all_blobs` run with each home of blobs."""
    if "server" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH_HOMES", False):
        metafunc.parametrize("server", ["sqlite", "postgres"], indirect=True, scope="session")
    if "blob_home" in metafunc.fixturenames and metafunc.definition.get_closest_marker("all_blobs"):
        metafunc.parametrize("blob_home", ["folder", "s3"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def blob_home(request: pytest.FixtureRequest) -> str:
    """What the servers of a test keep their blobs in."""
    home: str = getattr(request, "param", "folder")
    return home


def new_blobs(home: str) -> Blobs:
    """A home of blobs with nothing in it yet."""
    return Blobs(url=shared_s3().bucket()) if home == "s3" else Blobs()


@pytest.fixture
def blobs(blob_home: str) -> Blobs:
    """The same for a server of one test alone."""
    return new_blobs(blob_home)


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    blob_home: str,
    _upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """One server for all tests: they share its store, as projects of users do."""
    config = config_for(_upstream, tmp_path_factory.mktemp("data"))
    store = new_store(request.param) if hasattr(request, "param") else config.store
    with Running(replace(config, store=store, blobs=new_blobs(blob_home))) as running:
        yield running


@contextlib.contextmanager
def checked_client(url: str, api_key: str = "sk-test") -> Iterator[OpenAI]:
    """The official client, pointed at a server by its base URL; every answer is checked."""
    with (
        httpx2.Client(transport=CheckedTransport(Checker()), timeout=PATIENCE) as http,
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
        httpx2.AsyncClient(transport=CheckedAsyncTransport(Checker()), timeout=PATIENCE) as http,
        AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="sk-test", max_retries=0, http_client=http
        ) as client,
    ):
        yield client


@pytest.fixture
def http(server: Running) -> Iterator[httpx2.Client]:
    """Plain HTTP to the server, for what the official client would not send."""
    transport = CheckedTransport(Checker())
    with httpx2.Client(base_url=server.url, transport=transport, timeout=PATIENCE) as http:
        yield http
