"""A Jupyter server as programs use it: kernels over REST, their messages over a WebSocket.

That is the API of Jupyter Enterprise Gateway, Jupyter Kernel Gateway and Jupyter Server.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Raw, Struct

from antiphon.sandbox.base import SandboxEnded, SandboxUnavailable
from antiphon.sandbox.jupyter import Header, Message, new_header

FRAME_BYTES: Final = 16 << 20
_SECONDS: Final = 30.0
_START_SECONDS: Final = 180.0
"""A gateway may have to start a machine for a kernel."""


class _Frame(Struct, frozen=True):
    header: Header
    parent_header: Header
    content: Raw


class _Created(Struct, frozen=True):
    id: str


class Gateway:
    """One that is asked over HTTP."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def check(self) -> str | None:
        """Why no kernel can be started, as far as can be seen."""
        try:
            await self._ask("GET", "/api/kernelspecs", _SECONDS)
        except SandboxUnavailable as error:
            return str(error)
        return None

    async def start(self, kernel: str | None, environment: Mapping[str, str]) -> str:
        """The id of a new kernel. Raises SandboxUnavailable."""
        body = {"env": dict(environment), **({"name": kernel} if kernel else {})}
        answer = await self._ask("POST", "/api/kernels", _START_SECONDS, body)
        try:
            return msgspec.json.decode(answer, type=_Created).id
        except msgspec.MsgspecError:
            raise SandboxUnavailable(
                f"{self._url} is no Jupyter gateway: its answer is another one."
            ) from None

    async def act(self, kernel_id: str, what: str) -> None:
        """`interrupt` or `restart` a kernel. Raises SandboxUnavailable."""
        await self._ask("POST", f"/api/kernels/{kernel_id}/{what}", _SECONDS)

    async def delete(self, kernel_id: str) -> None:
        """Raises SandboxUnavailable."""
        await self._ask("DELETE", f"/api/kernels/{kernel_id}", _SECONDS)

    async def connect(self, kernel_id: str) -> "Channels":
        """Raises SandboxUnavailable."""
        session_id = secrets.token_hex(16)
        address = f"{self._url}/api/kernels/{kernel_id}/channels?session_id={session_id}"
        try:
            socket = await self._client().ws_connect(address, max_msg_size=FRAME_BYTES, heartbeat=20.0)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SandboxUnavailable(f"The kernel at {self._url} cannot be reached: {error}.") from error
        return Channels(socket, session_id)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        return self._session

    async def _ask(self, method: str, path: str, seconds: float, body: Any = None) -> bytes:
        try:
            async with (
                asyncio.timeout(seconds),
                self._client().request(method, f"{self._url}{path}", json=body) as answer,
            ):
                if answer.status >= 400:
                    raise SandboxUnavailable(_refused(self._url, answer.status))
                return await answer.content.read(FRAME_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or "no answer in time"
            raise SandboxUnavailable(
                f"The Jupyter gateway at {self._url} cannot be reached: {reason}."
            ) from error


class Channels:
    """The messages of one kernel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        self._socket = socket
        self._session_id = session_id

    async def send(self, kind: str, content: Mapping[str, Any]) -> str:
        """The id of a request. Raises SandboxEnded."""
        header = new_header(kind, self._session_id)
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        frame = msgspec.json.encode(message | {"channel": "shell", "buffers": []})
        try:
            await self._socket.send_str(frame.decode())
        except (aiohttp.ClientError, OSError) as error:
            raise SandboxEnded("The connection to its kernel was lost.") from error
        return header["msg_id"]

    async def messages(self) -> AsyncIterator[Message]:
        """What comes, without what is no message. Raises SandboxEnded."""
        while True:
            frame = await self._socket.receive()
            if frame.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                message = _read(frame.data)
                if message is not None:
                    yield message
            elif frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                raise SandboxEnded("The connection to its kernel was lost.")

    async def close(self) -> None:
        await self._socket.close()


def _read(data: str | bytes) -> Message | None:
    try:
        frame = msgspec.json.decode(data, type=_Frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return Message(frame.header, frame.parent_header, frame.content)


def _refused(url: str, status: int) -> str:
    if status in (401, 403):
        return f"The Jupyter gateway at {url} refuses its token ({status}): token_env of [sandbox] names it."
    return f"The Jupyter gateway at {url} has answered {status}."
