"""How a sandbox starts: what is made for it, in which order, and that all is undone when it ends."""

import asyncio
import os
import re
import resource
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from msgspec import Struct

from antiphon.sandbox import arguments, problems, runs
from antiphon.sandbox.arguments import Box, Bubblewrap, Mounts
from antiphon.sandbox.base import DATA, Limits, SandboxUnavailable, Wanted
from antiphon.sandbox.boxed import Parts
from antiphon.sandbox.cgroup import Group, Groups
from antiphon.sandbox.channel import Channel, Gone
from antiphon.sandbox.egress import ENVIRONMENT
from antiphon.sandbox.launcher import Launched, Launcher
from antiphon.sandbox.outside import Outside
from antiphon.sandbox.threads import in_thread
from antiphon.sandbox.users import User
from antiphon.sandbox.watch import Watch

_SECONDS = 60.0
"""Until the first process inside runs, on a machine that has much else to do."""
_NICENESS = 5
"""Code of models stands behind the server."""
_ADDRESSES = 8 << 30
"""Bytes of addresses for one process at least; libraries reserve far more than they use."""
_OPEN_FILES = 1024
_OWN_COUNT = (5, 14)
"""Since this kernel, a user namespace counts its processes by itself."""


class Ground(Struct, frozen=True, kw_only=True):
    """What all sandboxes of a server stand on."""

    launcher: Launcher
    bubblewrap: Bubblewrap
    filter: bytes
    """Of system calls."""
    folder: Path
    """Where each has a folder."""
    groups: Groups | None


class Start:
    """Of one sandbox."""

    def __init__(self, ground: Ground, wanted: Wanted, environment: Path | None) -> None:
        self._ground = ground
        self._wanted = wanted
        self._environment = environment
        self._box = Box(ground.folder / wanted.name)
        self._user: User | None = None
        self._group: Group | None = None

    async def parts(self) -> Parts:
        """Raises SandboxUnavailable."""
        async with AsyncExitStack() as undo:
            undo.push_async_callback(in_thread, runs.remove, self._box.folder)
            if os.geteuid() == 0:
                self._user = User.claim()
                undo.callback(self._user.release)
            undo.push_async_callback(in_thread, self._leave_group)
            await in_thread(self._make)
            launched, channel = await self._launch(undo)
            watch = self._look_inside(launched)
            undo.push_async_callback(in_thread, watch.close)
            self._enter_group(launched.pid)
            await _asked(channel.begin(self._first_request()), launched)
            return self._as_parts(channel, watch, undo.pop_all())

    def _as_parts(self, channel: Channel, watch: Watch, undo: AsyncExitStack) -> Parts:
        return Parts(
            box=self._box,
            limits=self._wanted.limits,
            environment=self._environment,
            channel=channel,
            watch=watch,
            owner=self._owner,
            memory_kills=self._group.memory_kills if self._group else lambda: 0,
            release=undo.aclose,
        )

    @property
    def _owner(self) -> int | None:
        """Of what the sandbox may write to; None: who runs this process."""
        return self._user.number if self._user else None

    def _make(self) -> None:
        """Its folders and its group. Raises SandboxUnavailable."""
        box = self._box
        try:
            for folder in (box.folder, box.data, box.skills, box.sockets, box.etc, box.incoming):
                folder.mkdir(mode=0o700 if folder in (box.folder, box.incoming) else 0o755)
            for folder in (box.data, box.sockets):
                if self._owner is not None:
                    os.chown(folder, self._owner, self._owner)
            arguments.write_etc(box, arguments.USER if self._owner is None else self._owner)
            if self._ground.groups is not None:
                self._group = self._ground.groups.create(self._wanted.name, self._wanted.limits)
        except OSError as error:
            raise SandboxUnavailable(f"A sandbox cannot be made: {error.strerror}.") from error

    def _leave_group(self) -> None:
        if self._group is not None:
            self._group.remove()

    async def _launch(self, undo: AsyncExitStack) -> tuple[Launched, Channel]:
        mounts = Mounts(
            box=self._box,
            limits=self._wanted.limits,
            environment=self._environment,
            sizes=self._ground.bubblewrap.sizes,
        )
        bubblewrap, launcher = self._ground.bubblewrap, self._ground.launcher
        asked = arguments.namespaces(bubblewrap, as_root=self._user is not None)
        asked += arguments.file_system(mounts)
        launched = await launcher.launch(bubblewrap.program, asked, self._ground.filter)
        undo.push_async_callback(in_thread, launched.end)
        await in_thread(launched.meet)
        channel = await Channel.open(launched.take_channel())
        undo.callback(channel.close, "It did not start.")
        await _asked(channel.receive_up(), launched)
        return launched, channel

    def _look_inside(self, launched: Launched) -> Watch:
        """Raises SandboxUnavailable."""
        try:
            outside = Outside(launched.pid, self._box.data.stat().st_dev)
            return Watch(self._box.folder, outside, self._wanted.limits, memory=self._group is None)
        except OSError as error:
            raise SandboxUnavailable(f"A sandbox cannot be watched: {error.strerror}.") from error

    def _enter_group(self, pid: int) -> None:
        """Raises SandboxUnavailable."""
        try:
            if self._group is not None:
                self._group.add(pid)
        except OSError as error:
            raise SandboxUnavailable(f"A sandbox cannot be limited: {error.strerror}.") from error

    def _first_request(self) -> dict[str, Any]:
        proxy = ENVIRONMENT if self._wanted.domains else {}
        return {
            "limits": _limits(self._wanted.limits, by_user=self._user is not None),
            "nice": _NICENESS,
            "user": self._owner,
            "environment": arguments.variables(self._environment, proxy),
            "folder": DATA,
        }


async def _asked(step: Any, launched: Launched) -> None:
    """Wait for the agent. Raises SandboxUnavailable, with what was said instead."""
    try:
        async with asyncio.timeout(_SECONDS):
            await step
    except (Gone, TimeoutError) as error:
        raise SandboxUnavailable(problems.explain(await in_thread(launched.end))) from error


def _limits(limits: Limits, *, by_user: bool) -> dict[str, int]:
    """What the kernel holds each process to, by the names of setrlimit(2)."""
    bounds = {
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_AS": max(_ADDRESSES, 4 * limits.memory_bytes),
        # A file that is too large is an error, before all files together are the end.
        "RLIMIT_FSIZE": limits.disk_bytes * 15 // 16,
        "RLIMIT_NOFILE": _OPEN_FILES,
        # With 0, a program of the host that takes cores from a pipe would be run; not so with 1 (core(5)).
        "RLIMIT_CORE": 1,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 64 << 10,
    }
    if by_user or _kernel() >= _OWN_COUNT:
        bounds["RLIMIT_NPROC"] = limits.processes
    return {name: most for name, most in bounds.items() if hasattr(resource, name)}


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
