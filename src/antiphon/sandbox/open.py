"""The driver of a server, by its settings.

What a driver needs is made when it is first wanted: a server whose clients never run code pays nothing.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import structlog
from msgspec import Struct

from antiphon.guard.addresses import Reachable, is_public
from antiphon.sandbox import environment
from antiphon.sandbox.base import Driver, Sandbox, SandboxUnavailable, Wanted

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS: Final = 10.0
"""After which a machine where nothing ran is looked at again: somebody may have followed the advice."""
_LOOKS: Final = 30
_TRY_AGAIN_SECONDS: Final = 60.0
"""After which an environment that could not be made is tried again."""
_ONLY_LINUX: Final = (
    "Code runs in sandboxes of bubblewrap, which needs Linux, or at a Jupyter gateway (driver of [sandbox])."
)
_NO_ZMQ: Final = "`pip install 'antiphon[sandbox]'` installs what talks to the Python in a sandbox."
_TURNED_OFF: Final = "No code runs on this server: driver of [sandbox] in its configuration is none."


class Options(Struct, frozen=True, kw_only=True):
    """What is set of it."""

    data_dir: Path
    driver: Literal["auto", "bubblewrap", "jupyter", "none"] = "auto"
    environment: Path | None = None
    """The operator's own; None: ours, in the data directory."""
    url: str = ""
    """Of a Jupyter gateway."""
    token: str | None = None
    kernel: str | None = None
    warm: int = 0
    reachable: Reachable = is_public
    """Where the hosts may lead that a sandbox is allowed."""


def driver_of(options: Options) -> "Prepared":
    """Nothing is started or made before it is wanted."""
    return Prepared(options, partial(_jupyter if options.driver == "jupyter" else _bubblewrap, options))


def _bubblewrap(options: Options, python: Callable[[], Path | None]) -> Driver:
    """Imported when it is wanted."""
    from antiphon.sandbox.bubblewrap import Bubblewrap
    from antiphon.sandbox.warm import Warm

    return Warm(Bubblewrap(options.data_dir / "sandbox", python, options.reachable), options.warm)


def _jupyter(options: Options, _python: Callable[[], Path | None]) -> Driver:
    from antiphon.sandbox.gateway import Gateway
    from antiphon.sandbox.jupyter_gateway import JupyterGateway
    from antiphon.sandbox.warm import Warm

    return Warm(JupyterGateway(Gateway(options.url, options.token), options.kernel), options.warm)


class Prepared(Driver):
    """A driver that has an environment: `start` waits until it is made."""

    def __init__(self, options: Options, open_driver: Callable[[Callable[[], Path | None]], Driver]) -> None:
        """`open_driver` is given what gives the environment's folder, once there is one."""
        self._options = options
        self._open = open_driver
        self._driver: Driver | None = None
        """One that works on this machine."""
        self._folder: Path | None = None
        self._complete = options.driver == "jupyter"
        """Whether nothing is to be made any more: a gateway has a Python."""
        self._making: asyncio.Task[Path] | None = None
        self._next_attempt = 0.0
        self._used = contextlib.ExitStack()
        self._reason: str | None = None
        self._looked_at: float | None = None
        self._look = asyncio.Lock()

    async def check(self) -> str | None:
        """Whoever asks is about to run code: what is missing is made from now on."""
        reason = await self.obstacle()
        if reason is None and not self._complete:
            making = self._begin()
            reason = _failure(making)
        return reason

    async def obstacle(self) -> str | None:
        """Why nothing can run on this machine. Nothing is made for it."""
        return (await self._found())[1]

    async def prepare(self) -> None:
        """Make what is missing, and wait for it. Raises SandboxUnavailable."""
        await self._ready()

    async def start(self, wanted: Wanted) -> Sandbox:
        return await (await self._ready()).start(wanted)

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})
        if self._driver is not None:
            await self._driver.close()
        self._used.close()

    async def _ready(self) -> Driver:
        """The driver, when there is an environment. Raises SandboxUnavailable."""
        driver, reason = await self._found()
        if driver is None:
            raise SandboxUnavailable(reason or "")
        if not self._complete:
            await asyncio.shield(self._begin())
        return driver

    async def _found(self) -> tuple[Driver | None, str | None]:
        """The driver, or why none works on this machine."""
        async with self._look:
            now = time.monotonic()
            again = self._looked_at is None or now - self._looked_at > _LOOK_AGAIN_SECONDS
            if self._driver is None and again:
                self._driver, self._reason = await self._tried()
                self._looked_at = time.monotonic()
        return self._driver, self._reason

    async def _tried(self) -> tuple[Driver | None, str | None]:
        if self._options.driver == "none":
            return None, _TURNED_OFF
        if self._options.driver != "jupyter" and (missing := _missing()):
            return None, missing
        driver = self._open(lambda: self._folder)
        reason = await driver.check()
        if reason is None:
            return driver, None
        await driver.close()
        return None, reason

    def _begin(self) -> asyncio.Task[Path]:
        """The attempt that is under way; a new one some time after one has failed."""
        if self._making is None or (_failure(self._making) and time.monotonic() > self._next_attempt):
            self._next_attempt = time.monotonic() + _TRY_AGAIN_SECONDS
            self._making = asyncio.ensure_future(self._made())
            self._making.add_done_callback(_log)
        return self._making

    async def _made(self) -> Path:
        if self._options.environment is not None:
            found = environment.given(self._options.environment)
        else:
            found = await environment.make(self._options.data_dir)
            self._used.enter_context(environment.used(found))
        self._folder, self._complete = found.folder, True
        return found.folder


def _missing() -> str | None:
    """What sandboxes of this machine lack."""
    if sys.platform != "linux":
        return _ONLY_LINUX
    return _NO_ZMQ if find_spec("zmq") is None else None


@asynccontextmanager
async def made_early(driver: Prepared) -> AsyncIterator[None]:
    """What the driver needs is made beside what the block does."""
    making = asyncio.ensure_future(_make_early(driver))
    try:
        yield
    finally:
        making.cancel()
        await asyncio.wait({making})


async def _make_early(driver: Prepared) -> None:
    """Where nothing can run, what is missing may be just being installed."""
    for _ in range(_LOOKS):
        if await driver.obstacle() is None:
            with contextlib.suppress(SandboxUnavailable):  # it is logged
                await driver.prepare()
            return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _failure(making: asyncio.Task[Path]) -> str | None:
    """Why an attempt to make the environment has failed."""
    if not making.done() or making.cancelled() or making.exception() is None:
        return None
    return str(making.exception())


def _log(making: asyncio.Task[Path]) -> None:
    if reason := _failure(making):
        log.info("the Python of the sandboxes was not made", reason=reason)
