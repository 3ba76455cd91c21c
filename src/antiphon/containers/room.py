"""Containers at work: what tools ask of them (`tools/containers.py`), and what the API does.

A container is a row of the store with files and skills. The sandbox behind it starts when something is to run
in it, in the server process that is asked; what it leaves in its folder becomes files of the container. So a
sandbox may end at any time, and another one goes on with the files. The state of its Python goes with it.

A sandbox lives in one process: others have that one run things in it (`relay`). Where that process cannot be
reached, or is gone, another one goes on with the files. So whoever runs something in a container claims it,
and waits while another process does. Who had it before finds out within seconds, or when he claims it the
next time: his own sandbox is old then, and is ended.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog
from msgspec.structs import replace

from antiphon.containers import names
from antiphon.containers.claims import RENEW_SECONDS, Claims
from antiphon.containers.folder import Folder, Harvest
from antiphon.containers.making import Maker
from antiphon.containers.relay import Answer, Call, Relay
from antiphon.containers.rules import Rules
from antiphon.containers.sandboxes import Sandboxes, Seat
from antiphon.containers.skills import SkillShelf
from antiphon.sandbox.base import (
    CommandResult,
    Driver,
    Execution,
    Logs,
    Picture,
    Sandbox,
    SandboxEnded,
    Wanted,
)
from antiphon.store.blobs import IncomingBlob
from antiphon.store.container_files import ContainerFileRow
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.containers import Claim, ContainerRow
from antiphon.store.errors import AlreadyExists, ContainerBusy, ExpiredContainer, TooManyContainerFiles
from antiphon.store.files import FileRow
from antiphon.tools.containers import (
    ContainerError,
    ContainerExpired,
    ContainerFile,
    MountedSkill,
    NewContainer,
    NoSuchContainer,
    Ran,
)

log = structlog.get_logger()

_MINUTE = 60.0


class Room:
    """The containers of all projects, with the sandboxes that live in this process."""

    def __init__(self, storage: ContainerStorage, driver: Driver, rules: Rules | None = None) -> None:
        self.storage = storage
        self.rules = rules or Rules()
        self.shelf = SkillShelf(storage)
        self._driver = driver
        self._maker = Maker(storage, self.shelf, self.rules)
        self._sandboxes = Sandboxes(self.rules)
        self._claims = Claims(storage.store.containers)
        self._relay: Relay | None = None
        self._entering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def running(self, sockets: Path | None = None) -> AsyncIterator[None]:
        """Looks after what lives while the block runs, and ends it then. `sockets`: the folder in which the
        processes of this server find each other; None: they do not."""
        task = asyncio.create_task(self._look_after())
        try:
            async with AsyncExitStack() as open_here:
                if sockets is not None:
                    self._relay = Relay(sockets, self._claims.home)
                    await open_here.enter_async_context(self._relay.serving(self._asked))
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._sandboxes.close()
            await self._driver.close()
            await self.shelf.close()

    async def unavailable(self) -> str | None:
        return await self._driver.check()

    # ---- containers ----

    async def make(self, project: str, new: NewContainer) -> ContainerRow:
        """Raises the ApiError that says which member is wrong."""
        return await self._maker.make(project, new)

    async def create(self, project: str, new: NewContainer, container_id: str | None = None) -> str:
        """A container whose id another one has gets another id."""
        with suppress(AlreadyExists):
            return (await self._maker.make(project, new, container_id)).id
        return (await self._maker.make(project, new)).id

    async def adopt(self, project: str, container_id: str, wanted: NewContainer) -> bool:
        row = await self._used(project, container_id)
        skills = await self.storage.store.containers.skills(project, container_id)
        if not await self._maker.fits(project, row, skills, wanted):
            return False
        for file in await self._maker.files(project, wanted.file_ids, wanted.member("file_ids")):
            await self._copy(project, container_id, file)
        return True

    async def check(self, project: str, container_id: str) -> None:
        await self._used(project, container_id)

    async def delete(self, project: str, container_id: str) -> bool:
        """With its sandbox, if that lives here; elsewhere it ends within seconds."""
        if not await self.storage.delete(project, container_id):
            return False
        await self._end_lost()
        return True

    async def skills(self, project: str, container_id: str) -> Sequence[MountedSkill]:
        return [
            MountedSkill(
                name=skill.name, description=skill.description, path=names.skill_folder(skill.folder)
            )
            for skill in await self.storage.store.containers.skills(project, container_id)
        ]

    async def _used(self, project: str, container_id: str) -> ContainerRow:
        row = await self.storage.store.containers.use(project, container_id)
        if row is None:
            raise _no_container()
        if row.expired:
            raise _expired()
        return row

    # ---- files ----

    async def add(self, project: str, container_id: str, filename: str, content: bytes) -> ContainerFile:
        """A file that is there already is known by its name. What code has changed stays as it is."""
        await self._used(project, container_id)
        path = names.of_given(filename)
        there = await self.storage.store.container_files.at(project, container_id, path)
        if there is not None:
            return _shown(there)
        await self.storage.store.usage.check(project, len(content))
        async with self.storage.incoming() as incoming:
            await incoming.write(content)
            row = await self.storage.arrived(incoming, path, "user")
        return _shown(await self.put(project, container_id, row))

    async def upload(
        self, project: str, container_id: str, filename: str, incoming: IncomingBlob
    ) -> ContainerFileRow:
        """A file whose bytes have come in. Raises ContainerError."""
        row = await self.storage.arrived(incoming, names.of_upload(filename), "user")
        return await self.put(project, container_id, row)

    async def copy(self, project: str, container_id: str, file_id: str) -> ContainerFileRow:
        """A file of the Files API, if it is not there already. Raises NotFound, ContainerError."""
        (file,) = await self._maker.files(project, [file_id], "file_id")
        return await self._copy(project, container_id, file)

    async def _copy(self, project: str, container_id: str, file: FileRow) -> ContainerFileRow:
        path = names.of_file(file.id, file.filename)
        there = await self.storage.store.container_files.at(project, container_id, path)
        if there is not None:
            return there
        await self.storage.store.usage.check(project, file.size)
        return await self.put(project, container_id, await self._maker.copied(file, "file_id"))

    async def put(self, project: str, container_id: str, row: ContainerFileRow) -> ContainerFileRow:
        """A file of the user's; a sandbox has it before the next thing runs in it. Raises ContainerError."""
        try:
            stored = await self.storage.put(project, container_id, row)
        except ExpiredContainer:
            raise _expired() from None
        except TooManyContainerFiles as error:
            raise ContainerError(f"A container may have at most {error.most} files.") from None
        if stored is None:
            raise _no_container()
        return stored

    async def files(self, project: str, container_id: str) -> Sequence[ContainerFile]:
        await self._used(project, container_id)
        return [_shown(row) for row in await self.storage.store.container_files.all(project, container_id)]

    # ---- what runs ----

    async def execute(self, project: str, container_id: str, code: str) -> Ran:
        call = Call(project=project, container_id=container_id, code=code)
        answer = await self._elsewhere(call, 1)
        return answer.ran if answer is not None else await self._execute(call)

    async def run(
        self,
        project: str,
        container_id: str,
        commands: Sequence[str],
        seconds: float | None,
        most_characters: int | None,
    ) -> Sequence[CommandResult]:
        call = Call(
            project=project,
            container_id=container_id,
            commands=list(commands),
            seconds=seconds,
            most_characters=most_characters,
        )
        answer = await self._elsewhere(call, len(commands))
        return answer.results if answer is not None else await self._run(call)

    async def _elsewhere(self, call: Call, steps: int) -> Answer | None:
        """What comes of a call in the process that has the container. None: it is to run here."""
        home = await self._claims.elsewhere(call.project, call.container_id) if self._relay else None
        if home is None or self._relay is None:
            return None
        seconds = self.rules.queue_seconds + steps * self.rules.seconds + _MINUTE
        return await self._relay.ask(home, call, seconds)

    async def _asked(self, call: Call) -> Answer:
        """What comes of a call of another process."""
        if call.commands is None:
            return Answer.of(await self._execute(call))
        return Answer(results=list(await self._run(call)))

    async def _execute(self, call: Call) -> Ran:
        async with self._sandbox(call.project, call.container_id) as used:
            execution = await used.sandbox.execute(call.code, self.rules.seconds)
            pictures = [output for output in execution.outputs if isinstance(output, Picture)]
            harvest = await self._harvest(used, pictures)
        if harvest.words:
            execution = replace(execution, outputs=[*execution.outputs, Logs(harvest.words)])
        return Ran(
            execution=_explained(execution) if used.folder.began_anew else execution,
            files=[_shown(row) for row in harvest.files],
            pictures=[_shown(row) for row in harvest.pictures],
        )

    async def _run(self, call: Call) -> Sequence[CommandResult]:
        limit = min(call.seconds or self.rules.seconds, self.rules.seconds)
        most = min(call.most_characters or self.rules.output_characters, self.rules.output_characters)
        async with self._sandbox(call.project, call.container_id) as used:
            results = await used.sandbox.run(call.commands or (), limit, most)
            return _with_words(results, await self._harvest(used))

    async def _harvest(self, used: "_Used", pictures: Sequence[Picture] = ()) -> Harvest:
        """What came of an execution. Who was away for so long that another process goes on with the files
        has none: they would take the place of newer ones. Raises SandboxEnded."""
        if await self._claims.lost([used.key]):
            raise SandboxEnded("The container is used elsewhere: what was run here is not kept.")
        return await used.folder.harvest(used.sandbox, pictures)

    @asynccontextmanager
    async def _sandbox(self, project: str, container_id: str) -> AsyncIterator["_Used"]:
        """The sandbox of a container, with all that the container has in it. Raises ContainerError,
        SandboxError."""
        async with self._sandboxes.turn(project), AsyncExitStack() as used:
            entering = self._entering.setdefault(container_id, asyncio.Lock())
            async with entering:
                claim = await self._claimed(project, container_id)
                await used.enter_async_context(self._claims.left_after(claim))
                if not claim.is_ours:
                    await self._sandboxes.drop([claim.key])
            seat = await used.enter_async_context(
                self._sandboxes.place(claim.key, project, claim.row.minutes * _MINUTE)
            )
            yield await self._prepared(seat, claim)

    async def _claimed(self, project: str, container_id: str) -> Claim:
        try:
            claim = await self._claims.claim(project, container_id, self.rules.queue_seconds)
        except ExpiredContainer:
            raise _expired() from None
        except ContainerBusy:
            raise ContainerError(
                "The container is busy in another process of this server. Please try again."
            ) from None
        if claim is None:
            raise _no_container()
        return claim

    async def _prepared(self, seat: Seat, claim: Claim) -> "_Used":
        """That a sandbox ended since it was used may be seen only now: then another one starts."""
        with suppress(SandboxEnded):
            return await self._filled(seat, claim)
        return await self._filled(seat, claim)

    async def _filled(self, seat: Seat, claim: Claim) -> "_Used":
        sandbox = await self._sandboxes.start(seat, partial(self._start, seat, claim))
        if seat.folder is None:
            raise SandboxEnded("The container was deleted, or is used elsewhere.")
        await seat.folder.bring_in(sandbox)
        return _Used(sandbox, seat.folder, claim.key)

    async def _start(self, seat: Seat, claim: Claim) -> Sandbox:
        row = claim.row
        sandbox = await self._driver.start(
            Wanted(
                name=f"c{claim.key}_{secrets.token_hex(4)}",
                limits=self.rules.limits(row.memory_limit),
                domains=row.domains,
            )
        )
        try:
            skills = await self.storage.store.containers.skills(seat.project, row.id)
            await self.shelf.mount(skills, sandbox)
            folder = Folder(seat.project, row.id, self.storage, self.rules, not claim.is_new)
            await folder.begin(sandbox)
        except BaseException:
            await sandbox.close()
            raise
        seat.folder = folder
        return sandbox

    # ---- what lives ----

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._claims.renew()
                await self._end_lost()
                await self._sandboxes.tidy()
            except Exception:  # the top of a task: the disk may be well again next time
                log.exception("containers were not looked after")

    async def _end_lost(self) -> None:
        await self._sandboxes.drop(await self._claims.lost(self._sandboxes.keys))


class _Used(NamedTuple):
    """A sandbox while something runs in it."""

    sandbox: Sandbox
    folder: Folder
    key: int
    """Of the container."""


def _explained(execution: Execution) -> Execution:
    """A model that misses its variables learns where they are."""
    if execution.error is None or "NameError" not in execution.error:
        return execution
    words = "Python was started anew since it ran before: variables are gone, files are still there."
    return replace(execution, error=f"{execution.error.rstrip()}\n{words}")


def _shown(row: ContainerFileRow) -> ContainerFile:
    return ContainerFile(id=row.id, path=row.path, size=row.size, by_user=row.source == "user")


def _with_words(results: Sequence[CommandResult], harvest: Harvest) -> Sequence[CommandResult]:
    """What was not kept is said behind all else."""
    if not harvest.words or not results:
        return results
    last = results[-1]
    return [*results[:-1], replace(last, stderr=f"{last.stderr}\n{harvest.words}".lstrip("\n"))]


def _no_container() -> NoSuchContainer:
    return NoSuchContainer("Container not found")


def _expired() -> ContainerExpired:
    return ContainerExpired("Container is expired.")
