"""A driver whose sandboxes are kernels of a Jupyter gateway: code runs there, and not on this machine.

What holds it there is the gateway's: Enterprise Gateway starts a container for each kernel. A gateway whose
kernels share their files is refused, and so is one that would have to open a network.
"""

import asyncio
import base64
import contextlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
from msgspec import Struct

from antiphon.sandbox.base import (
    DATA,
    SKILLS,
    CommandResult,
    Driver,
    Entry,
    Execution,
    Sandbox,
    SandboxEnded,
    SandboxError,
    SandboxUnavailable,
    Wanted,
)
from antiphon.sandbox.gateway import Channels, Gateway
from antiphon.sandbox.jupyter import Message, Status, execute_request
from antiphon.sandbox.outputs import Gathered

MOST_CHARACTERS: Final = 200_000
MOST_FILES: Final = 2_000
_MARK: Final = "/mnt/.antiphon"
_PIECE: Final = 512 << 10
_GRACE_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 3.0
"""Without an answer, after which a kernel is given once more what it needs."""
_CLOSED: Final = "It was closed."
_NO_WAY: Final = (
    "Sandboxes of a Jupyter gateway cannot be allowed hosts: their network is what the gateway gives them."
)
_SHARED: Final = (
    "The kernels of this Jupyter gateway share their files. It needs a container for each kernel, as Jupyter "
    "Enterprise Gateway starts them."
)
_LOST: Final = " Variables, functions and imports of before are lost."
_FOLDERS: Final = {"data": DATA, "skills": SKILLS, "mark": _MARK}


class JupyterGateway(Driver):
    """Kernels of one gateway."""

    def __init__(self, gateway: Gateway, kernel: str | None = None) -> None:
        """`kernel`: the name of its kernelspec; None: the gateway's default."""
        self._gateway = gateway
        self._kernel = kernel
        self._sandboxes: set[RemoteSandbox] = set()

    async def check(self) -> str | None:
        return await self._gateway.check()

    async def start(self, wanted: Wanted) -> Sandbox:
        if wanted.domains:
            raise SandboxUnavailable(_NO_WAY)
        memory = f"{wanted.limits.memory_bytes >> 20}Mi"
        environment = {"KERNEL_USERNAME": "antiphon", "KERNEL_MEMORY_LIMIT": memory}
        kernel_id = await self._gateway.start(self._kernel, environment)
        sandbox = RemoteSandbox(self._gateway, kernel_id, self._sandboxes.discard)
        try:
            await sandbox.begin()
        except BaseException:
            await sandbox.close()
            raise
        self._sandboxes.add(sandbox)
        return sandbox

    async def close(self) -> None:
        await asyncio.gather(*(sandbox.close() for sandbox in list(self._sandboxes)))
        await self._gateway.close()


class _Shown(Struct, frozen=True):
    """What an expression is worth."""

    status: str = ""
    data: dict[str, str] = {}
    evalue: str = ""


class _Reply(Struct, frozen=True):
    user_expressions: dict[str, _Shown] = {}


class RemoteSandbox(Sandbox):
    """One kernel."""

    def __init__(
        self, gateway: Gateway, kernel_id: str, when_ended: Callable[["RemoteSandbox"], object]
    ) -> None:
        self._gateway = gateway
        self._kernel_id = kernel_id
        self._when_ended = when_ended
        self._key = secrets.token_hex(16)
        self._channels: Channels | None = None
        self._turn = asyncio.Lock()
        self._ended: str | None = None
        self._lost = False
        """Whether the kernel may be another one than was prepared."""

    async def begin(self) -> None:
        """Prepare the kernel. Raises SandboxUnavailable."""
        async with self._turn:
            if await self._reconnect() != "free":
                raise SandboxUnavailable(_SHARED)

    @property
    def ended(self) -> str | None:
        return self._ended

    async def execute(self, code: str, seconds: float) -> Execution:
        gathered = Gathered()
        async with self._ready():
            request_id = await self._open().send("execute_request", execute_request(code))
            try:
                async with asyncio.timeout(seconds):
                    alive = await self._finished(request_id, gathered)
            except TimeoutError:
                gathered.error = await self._stopped(request_id, gathered, seconds)
            except asyncio.CancelledError:
                self._lost = True
                await asyncio.shield(self._gateway.act(self._kernel_id, "interrupt"))
                raise
            else:
                if not alive:
                    self._lost = True
                    gathered.error = f"Python has ended.{_LOST}"
        return Execution(outputs=gathered.outputs(), error=gathered.error)

    async def run(
        self, commands: Sequence[str], seconds: float, most_characters: int
    ) -> Sequence[CommandResult]:
        given = {"data": DATA, "seconds": seconds, "most": min(most_characters, MOST_CHARACTERS)}
        patience = seconds + _ANSWER_SECONDS
        async with self._ready():
            return [
                await self._ask("run", CommandResult, given | {"command": command}, patience)
                for command in commands
            ]

    async def write(self, path: str, content: AsyncIterable[bytes]) -> None:
        _check_path(path, DATA, SKILLS)
        first = True
        async for piece in content:
            for start in range(0, max(1, len(piece)), _PIECE):
                encoded = base64.b64encode(piece[start : start + _PIECE]).decode()
                async with self._ready():
                    await self._ask("write", None, {"path": path, "content": encoded, "first": first})
                first = False
        if first:
            async with self._ready():
                await self._ask("write", None, {"path": path, "content": "", "first": True})

    async def remove(self, path: str) -> None:
        _check_path(path, DATA, SKILLS)
        async with self._ready():
            await self._ask("remove", None, {"path": path})

    async def files(self) -> Sequence[Entry]:
        async with self._ready():
            found = await self._ask("files", list[Entry], {"data": DATA, "most": MOST_FILES})
        return [entry for entry in found[:MOST_FILES] if _is_below(entry.path, DATA)]

    async def read(self, path: str) -> AsyncIterator[bytes]:
        if not _is_below(path, DATA):
            raise FileNotFoundError(path)
        offset = 0
        while True:
            async with self._ready():
                encoded = await self._ask(
                    "read", str | None, {"path": path, "offset": offset, "size": _PIECE}
                )
            if encoded is None:
                raise FileNotFoundError(path)
            piece = _unpacked(encoded)[:_PIECE]
            if not piece:
                return
            offset += len(piece)
            yield piece

    async def close(self) -> None:
        if self._ended is None:
            self._end(_CLOSED)
            with contextlib.suppress(SandboxError, TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS), self._turn:
                    await self._ask("end", None, {"key": self._key, **_FOLDERS})
        if self._channels is not None:
            await self._channels.close()
        with contextlib.suppress(SandboxError):
            await self._gateway.delete(self._kernel_id)

    # ---- the kernel -------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _ready(self) -> AsyncIterator[None]:
        """The right to use the kernel, which is prepared. Raises SandboxEnded."""
        if self._ended is not None:
            raise SandboxEnded(self._ended)
        try:
            async with self._turn:
                if self._lost:
                    await self._reconnect()
                yield
        except SandboxEnded as error:
            self._end(self._ended or str(error))
            raise

    def _end(self, why: str) -> None:
        self._ended = why
        self._when_ended(self)

    def _open(self) -> Channels:
        if self._channels is None:
            raise SandboxEnded(_CLOSED)
        return self._channels

    async def _reconnect(self) -> str:
        """A gateway lets nobody connect before a kernel answers: what is sent to one that starts is lost."""
        if self._channels is not None:
            await self._channels.close()
        self._channels = await self._gateway.connect(self._kernel_id)
        return await self._prepare()

    async def _prepare(self) -> str:
        """Give the kernel what it needs besides Python. Says whether the folders are its own."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while not await self._prepared():
                    pass
        except TimeoutError:
            raise SandboxError("The kernel of the sandbox does not answer.") from None
        self._lost = False
        return str(await self._ask("begin", str, {"key": self._key, **_FOLDERS}))

    async def _prepared(self) -> bool:
        """What is sent to a kernel that starts may be lost all the same: it is sent once more then, which
        does no harm."""
        request = execute_request(_preparation()) | {"silent": True, "store_history": False}
        request_id = await self._open().send("execute_request", request)
        try:
            async with asyncio.timeout(_AGAIN_SECONDS):
                await self._finished(request_id, Gathered())
        except TimeoutError:
            return False
        return True

    async def _finished(self, request_id: str, gathered: Gathered) -> bool:
        """Waits for the end of an execution; False: the kernel has died, and is another one now."""
        idle = replied = False
        async for message in self._open().messages():
            status = _status(message)
            if status in ("restarting", "autorestarting", "dead"):
                return False
            if message.parent.msg_id == request_id:
                gathered.add(message)
                idle = idle or status == "idle"
                replied = replied or message.header.msg_type == "execute_reply"
                if idle and replied:
                    return True
        raise SandboxEnded("The connection to its kernel was lost.")

    async def _stopped(self, request_id: str, gathered: Gathered, seconds: float) -> str:
        """Interrupts code, and what does not stop then is started again."""
        words = f"Stopped: the code took longer than {seconds:g} seconds"
        await self._gateway.act(self._kernel_id, "interrupt")
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                if await self._finished(request_id, gathered):
                    return f"{words}. What it has defined so far is still there."
        except TimeoutError:
            await self._gateway.act(self._kernel_id, "restart")
        self._lost = True
        return f"{words} and could not be interrupted. Python was started again.{_LOST}"

    async def _ask(
        self, name: str, kind: Any, arguments: Mapping[str, Any], patience: float = _ANSWER_SECONDS
    ) -> Any:
        """Calls a function of `remote_tools`. Raises SandboxError."""
        text = msgspec.json.encode(arguments).decode()
        expression = f"__import__('_antiphon').call({name!r}, {text!r})"
        request = execute_request("") | {"user_expressions": {"answer": expression}, "silent": True}
        request["store_history"] = False
        request_id = await self._open().send("execute_request", request)
        try:
            async with asyncio.timeout(patience):
                reply = await self._reply(request_id)
        except TimeoutError:
            raise SandboxError("The kernel of the sandbox does not answer.") from None
        return _answer(reply, kind)

    async def _reply(self, request_id: str) -> _Reply:
        async for message in self._open().messages():
            if _status(message) in ("restarting", "autorestarting", "dead"):
                self._lost = True
                raise SandboxError("The Python of the sandbox has ended, and starts again.")
            if message.parent.msg_id == request_id and message.header.msg_type == "execute_reply":
                return message.content_as(_Reply) or _Reply()
        raise SandboxEnded("The connection to its kernel was lost.")


def _status(message: Message) -> str | None:
    if message.header.msg_type != "status":
        return None
    status = message.content_as(Status)
    return status.execution_state if status else None


def _answer(reply: _Reply, kind: Any) -> Any:
    """What a function gave, which Python shows as a string."""
    shown = reply.user_expressions.get("answer", _Shown())
    if shown.status != "ok":
        raise SandboxError(f"The sandbox cannot do that: {shown.evalue[:300] or 'no answer'}.")
    if kind is None:
        return None
    try:
        text = shown.data.get("text/plain", "").strip("'")
        return msgspec.json.decode(base64.b64decode(text), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SandboxError("The sandbox answers with something else.") from error


def _unpacked(encoded: str) -> bytes:
    """Raises SandboxError."""
    try:
        return base64.b64decode(encoded)
    except ValueError as error:
        raise SandboxError("The sandbox answers with something else.") from error


def _check_path(path: str, *folders: str) -> None:
    if not any(_is_below(path, folder) for folder in folders):
        raise SandboxError(f"{path!r} is not the path of a file below {' or '.join(folders)}.")


def _is_below(path: str, folder: str) -> bool:
    parts = PurePosixPath(path).parts
    return path.startswith(f"{folder}/") and ".." not in parts and "\0" not in path


@cache
def _preparation() -> str:
    """A program that puts our tools into a module of its own, and makes messages small where it can."""
    here = resources.files("antiphon.sandbox")
    tools = here.joinpath("remote_tools.py").read_text(encoding="utf-8")
    shell = here.joinpath("interpreter.py").read_text(encoding="utf-8")
    return f"""
def _antiphon(tools, interpreter):
    import sys, types
    module = sys.modules["_antiphon"] = types.ModuleType("_antiphon")
    exec(tools, module.__dict__)
    names = {{"__name__": "_antiphon_interpreter"}}
    try:
        exec(interpreter, names)
        names["keep_messages_small"]()
        names["configure"](get_ipython())
    except Exception:
        pass  # an older kernel, whose messages are as they are

_antiphon({tools!r}, {shell!r})
del _antiphon
"""
