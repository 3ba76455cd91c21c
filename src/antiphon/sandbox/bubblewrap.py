"""The driver that starts sandboxes with bubblewrap, on Linux.

As root, each sandbox is a user of its own. As anybody else it is this user, in a user namespace.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from antiphon.guard.addresses import Reachable, is_public
from antiphon.sandbox import cgroup, problems, runs
from antiphon.sandbox.base import Driver, Sandbox, SandboxError, SandboxUnavailable, Wanted
from antiphon.sandbox.boxed import BoxedSandbox, Parts
from antiphon.sandbox.egress import Egress
from antiphon.sandbox.launcher import Launcher
from antiphon.sandbox.starting import Ground, Start
from antiphon.sandbox.threads import in_thread

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_PROBE = "probe"
_PROBE_SECONDS = 20.0
_CLOSED = "The server ends."


class Bubblewrap(Driver):
    """Sandboxes below a folder of this machine. Several servers may share it."""

    def __init__(
        self,
        home: Path,
        environment: Callable[[], Path | None] = lambda: None,
        reachable: Reachable = is_public,
    ) -> None:
        """`environment` gives the virtual environment of the interpreter as soon as it is there; `reachable`
        is which addresses sandboxes may reach that have a network."""
        self._home = home
        self._environment = environment
        self._reachable = reachable
        self._trying: asyncio.Task[str | None] | None = None
        self._run: runs.Run | None = None
        self._ground: Ground | None = None
        self._sandboxes: dict[str, BoxedSandbox | None] = {}
        """By name; None: it is starting."""
        self._starting: set[asyncio.Future[Parts]] = set()

    async def check(self) -> str | None:
        if self._trying is None:
            self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(self._trying)

    async def _try(self) -> str | None:
        try:
            self._ground = await in_thread(self._prepare)
            sandbox = await self._start(self._ground, Wanted(name=_PROBE))
            try:
                (result,) = await sandbox.run(["true"], _PROBE_SECONDS, 1000)
            finally:
                await sandbox.close()
            if result.exit_code:
                raise SandboxUnavailable(f"The shell of a sandbox does not run: {result.stderr}")
        except SandboxError as error:
            await self._clean_up()
            return str(error)
        return None

    def _prepare(self) -> Ground:
        """Raises SandboxUnavailable."""
        bubblewrap, filter = problems.find(), problems.filter_of_this_machine()
        problems.check_home(self._home)
        try:
            self._run = runs.begin(self._home)
            groups = cgroup.open_groups(f"antiphon-{self._run.name}")
            self._run.note_groups(groups.folders if groups else ())
        except OSError as error:
            raise SandboxUnavailable(f"{self._home} cannot hold sandboxes: {error.strerror}.") from error
        folder = self._run.folder
        return Ground(launcher=Launcher(), bubblewrap=bubblewrap, filter=filter, folder=folder, groups=groups)

    async def start(self, wanted: Wanted) -> Sandbox:
        why = await self.check()
        if why is not None or self._ground is None:
            raise SandboxUnavailable(why or _CLOSED)
        return await self._start(self._ground, wanted)

    async def _start(self, ground: Ground, wanted: Wanted) -> BoxedSandbox:
        if not _NAME.fullmatch(wanted.name) or wanted.name in self._sandboxes:
            raise SandboxUnavailable(f"{wanted.name!r} cannot be the name of a new sandbox.")
        self._sandboxes[wanted.name] = None
        starting = asyncio.ensure_future(Start(ground, wanted, self._environment()).parts())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            parts = await starting
            if self._ground is not ground:
                await parts.release()
                raise SandboxUnavailable(_CLOSED)
        except BaseException as error:
            del self._sandboxes[wanted.name]
            if isinstance(error, OSError) and self._ground is not ground:
                raise SandboxUnavailable(_CLOSED) from error  # its folder went while it started
            raise
        sandbox = BoxedSandbox(parts)
        self._sandboxes[wanted.name] = sandbox
        sandbox.begin(lambda: self._sandboxes.pop(wanted.name, None))
        await self._open_way(sandbox, wanted)
        return sandbox

    async def _open_way(self, sandbox: BoxedSandbox, wanted: Wanted) -> None:
        """To the hosts that it may reach. Raises SandboxUnavailable."""
        if not wanted.domains:
            return
        try:
            sandbox.open_way(await Egress.start(sandbox, wanted.domains, self._reachable))
        except BaseException as error:
            await sandbox.close()
            if isinstance(error, SandboxError | OSError):
                raise SandboxUnavailable(f"The sandbox has no way to its hosts: {error}") from error
            raise

    async def close(self) -> None:
        if self._trying is not None:
            await asyncio.wait({self._trying})
        await self._clean_up()

    async def _clean_up(self) -> None:
        ground, self._ground = self._ground, None
        run, self._run = self._run, None
        if self._starting:
            await asyncio.wait(self._starting)
        sandboxes = [each for each in self._sandboxes.values() if each is not None]
        await asyncio.gather(*(each.end(_CLOSED) for each in sandboxes))
        if ground is not None:
            ground.launcher.close()
            if ground.groups is not None:
                await in_thread(ground.groups.remove)
        if run is not None:
            await in_thread(run.remove)
