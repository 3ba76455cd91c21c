"""Runs the server: takes the port, starts uvicorn, prints what is next."""

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from antiphon import __version__, config

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from antiphon.engines import Wanted

_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048
_HEALTHCHECK_SECONDS = 30
"""Without a sign of life before another worker takes its place. Each begins with that, and many that begin
together on a busy machine, or one that is put to sleep for a while, are well."""


class ServeError(Exception):
    """The server cannot be started; the message says why."""


# ---- what is kept ---------------------------------------------------------------------------------------


def check_data(settings: config.Config) -> None:
    """Opens what the workers will open, and brings the database up to date. Raises ServeError."""
    import asyncio

    from antiphon.api.seal_setup import seal_of
    from antiphon.store.copying import check_whole
    from antiphon.store.open import open_store, without_secrets
    from antiphon.store.open_blobs import open_blobs

    async def opened() -> None:
        await open_blobs(settings.blobs.url, Path(settings.data_dir)).check()
        store = await open_store(settings.store_url, listen_url=settings.store.listen_url)
        try:
            await check_whole(store, f"The store {without_secrets(settings.store_url)}")
            await store.usage.bound(settings.limits.stored_bytes)
        finally:
            await store.close()

    with data_in_words(settings):
        seal_of(settings)
        asyncio.run(opened())


@contextlib.contextmanager
def data_in_words(settings: config.Config) -> Iterator[None]:
    """Raises ServeError where what is kept cannot be used."""
    from antiphon.api.seal_setup import BadSealingKey
    from antiphon.store.blobs import BlobsUnusable
    from antiphon.store.copying import NotCopied
    from antiphon.store.errors import Incompatible
    from antiphon.store.faults import Unreachable
    from antiphon.store.open import UnknownStore, without_secrets

    url = without_secrets(settings.store_url)
    try:
        yield
    except (UnknownStore, BadSealingKey, BlobsUnusable, NotCopied) as error:
        raise ServeError(str(error)) from error
    except Incompatible as error:
        raise ServeError(f"The store {url} cannot be used. {error}") from error
    except Unreachable as error:
        raise ServeError(f"The database {url} cannot be reached: {error}. {_remedy(error)}") from error
    except (sqlite3.Error, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeError(
            f"What is kept in {settings.data_dir} cannot be used: {reason}. Is it "
            f"readable and writable, with room on its disk? The store is {url}."
        ) from error


def _remedy(fault: Exception) -> str:
    """PostgreSQL begins with FATAL what it says to those whom it does not let in."""
    if "FATAL:" in str(fault):
        return (
            "It runs, and lets nobody in like this: are user, password and database right in url of [store]?"
        )
    return "Does it run where url of [store] says?"


# ---- listening ------------------------------------------------------------------------------------------


def listen(server: config.Server) -> socket.socket:
    """Takes the port first: when it is taken, nothing else was begun."""
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _name, address = found[0]
        dealt = server.workers > 1 and sys.platform == "linux"  # elsewhere the kernel deals nothing out
        listener = (_Port if dealt else socket.socket)(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ServeError(
            f"Cannot listen on {server.host} port {server.port}: {reason}. Choose another with --port."
        ) from error
    listener.set_inheritable(True)
    return listener


class _Port(socket.socket):
    """A port for several workers. Each that it is handed to opens a socket of its own there, and the kernel
    deals connections out among these. Of a socket for all, the worker that wakes first takes what comes, and
    keeps it as long as its client does: one had all to do, the other nothing."""

    def listen(self, _backlog: int = 0, /) -> None:
        """Nobody is let in here, but the workers may open theirs. No other server may: a port that does not
        listen is its own alone only without SO_REUSEADDR, which was there to take it."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)

    def __reduce__(self) -> tuple[object, ...]:
        return _opened_at, (self.family, self.getsockname())


def _opened_at(family: int, address: object) -> socket.socket:
    """In a worker."""
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)  # type: ignore[arg-type]  # as the system says it
    listener.listen(_BACKLOG)
    return listener


def run(settings: config.Config, listener: socket.socket, models: Mapping[str, "Wanted"]) -> None:
    """Serves until it is asked to stop. `models` are the embedded ones, by their backends."""
    import uvicorn

    from antiphon.telemetry.worker_files import shared_folder

    _allow_files()
    os.environ[config.RESOLVED] = config.dump(settings)
    server = uvicorn.Server(_uvicorn(settings))
    stopped = threading.Event()
    threading.Thread(target=_announce, args=(settings, models, stopped), daemon=True).start()
    try:
        if settings.server.workers == 1:
            server.run(sockets=[listener])
        else:
            with shared_folder():
                _workers(server.config, listener).run()
    finally:
        stopped.set()


def _workers(made: "uvicorn.Config", listener: socket.socket) -> "Multiprocess":
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        def init_processes(self) -> None:
            """Who is asked to stop meanwhile begins no more: uvicorn heeds signals when all have begun."""
            wanted, self.processes_num = self.processes_num, 1
            while len(self.processes) < wanted and not self.should_exit.is_set():
                super().init_processes()
                if not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self.signal_queue):
                    self.should_exit.set()
            self.processes_num = wanted

    return Workers(made, sockets=[listener])


def _allow_files() -> None:
    """As many connections as the system lets us have: by default a process gets some 1,000 descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _uvicorn(settings: config.Config) -> "uvicorn.Config":
    import uvicorn

    from antiphon.api.frames import MESSAGE_BYTES
    from antiphon.api.protocol import HttpProtocol

    return uvicorn.Config(
        "antiphon.worker:application",
        factory=True,
        interface="asgi3",
        host=settings.server.host,
        port=settings.server.port,
        workers=settings.server.workers,
        loop="uvloop",
        http=HttpProtocol,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is: a layer less for each message
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.server.stop_seconds,
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )


def stop(_signal: int, _frame: object) -> NoReturn:
    """SIGTERM where uvicorn does not catch it, and after it has: unwinds, so that the engine ends too."""
    raise SystemExit(0)


# ---- what is printed ---------------------------------------------------------------------------------------


def _announce(settings: config.Config, models: Mapping[str, "Wanted"], stopped: threading.Event) -> None:
    """Prints what to type next, once the first request is answered."""
    if not _wait_until_up(settings.server, stopped):
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    url = f"http://{_reachable(settings.server)}/v1"
    console.print(f"\n[bold]Antiphon {__version__}[/] listens on [bold]{url}[/]", end="\n\n")
    for label, text in _facts(settings, models):
        console.print(f"  {label:<7}", text, markup=False)
    if settings.server.role == "worker":
        console.print("\nIt carries work of the background, and answers /healthz, /readyz and /metrics.")
    else:
        if settings.dashboard.enabled:
            console.print(f"\nLook at what it does: [bold]http://{_reachable(settings.server)}/dashboard[/]")
        model = _model_to_try(settings, models)
        console.print(_next_steps(url, model, settings.server.needs_key), markup=False)
    if settings.store.is_shared and not (settings.blobs.url or "").startswith("s3://"):
        console.print(
            "[yellow]Files are in a folder[/] (url of \\[blobs]): that is right for servers of one machine, "
            "or with a disk that all of them share.",
        )
    if not settings.server.needs_key and not config.is_loopback(settings.server.host):
        console.print(
            "[yellow]Everyone who can reach this address can use it:[/] no API keys are configured. "
            "`antiphon key PROJECT` makes one.",
        )


def _wait_until_up(server: config.Server, stopped: threading.Event) -> bool:
    import http.client

    while not stopped.wait(0.02):
        with contextlib.closing(http.client.HTTPConnection(_reachable(server), timeout=5)) as connection:
            try:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                return True
            except (OSError, http.client.HTTPException):
                continue
    return False


def _reachable(server: config.Server) -> str:
    """Host and port as a client on this machine would write them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(server.host, server.host)
    return f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"


def _facts(settings: config.Config, models: Mapping[str, "Wanted"]) -> Iterator[tuple[str, str]]:
    from antiphon.api.telemetry_setup import LACKING, destination, installed

    for name, backend in settings.backends.items():
        if model := models.get(name):
            yield "model", f"{model.name}, embedded: {model.memory} (requests wait while it loads)"
        else:
            yield "model", f"{name}: {backend.base_url}"
    engines = ", ".join(settings.tools.web_search.engines)
    yield "web", f"searched by {engines}" if engines else "not searched (--web-search duckduckgo does)"
    images, moderation = settings.images, settings.moderation
    if images.base_url:
        yield "images", f"made by {images.model} at {images.base_url}"
    if judge := moderation.judge or moderation.base_url:
        yield "judged", f"by {judge}, where requests ask for it"
    missing = {"pictures": images.base_url, "moderation": judge}
    if off := [name for name, place in missing.items() if not place]:
        yield "off", f"{' and '.join(off)} (antiphon doctor says what turns them on)"
    if to := destination(settings.telemetry):
        yield "traces", f"and metrics go to {to}" if installed() else LACKING
    yield "data", settings.data_dir
    yield "keys", _keys(settings)


def _keys(settings: config.Config) -> str:
    if not settings.server.needs_key:
        return "any API key is accepted"
    if not settings.server.keys:
        return "needed: `antiphon key create NAME` makes one"
    projects = list(dict.fromkeys(settings.projects_by_key().values()))
    whose = f"project {projects[0]}" if len(projects) == 1 else f"{len(projects)} projects"
    return f"needed: those of {whose} in [server.keys], and those of `antiphon key create`"


def _model_to_try(settings: config.Config, models: Mapping[str, "Wanted"]) -> str:
    """A model name that will be answered, as far as we can know."""
    for name, backend in settings.backends.items():
        if isinstance(backend.default, str):
            return backend.default
        if name in models:
            return models[name].name
    for backend in settings.backends.values():
        for name in backend.models:
            if "*" not in name:
                return name
    return "MODEL"


def _next_steps(url: str, model: str, needs_key: bool) -> str:
    with_key = ", with the key in OPENAI_API_KEY" if needs_key else ""
    headers = '-H "Authorization: Bearer $OPENAI_API_KEY" ' if needs_key else ""
    body = f'{{"model": "{model}", "input": "Say hello."}}'
    given = "" if needs_key else ', api_key="any"'
    return f"""
Try it{with_key}:

  curl {url}/responses {headers}-H "Content-Type: application/json" -d '{body}'

or, in Python:

  from openai import OpenAI

  client = OpenAI(base_url="{url}"{given})
  response = client.responses.create(model="{model}", input="Say hello.")
  print(response.output_text)
"""
