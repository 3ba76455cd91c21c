"""The one way out of a sandbox: HTTPS to the hosts that it may reach.

A sandbox has no network. Where hosts are allowed, a bridge inside takes what is sent to a proxy on its
loopback and hands it on through a socket; outside, this proxy answers CONNECT alone, for those hosts alone,
port 443 alone. Names are resolved here, and where they lead must be public.
"""

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from antiphon.guard.addresses import Reachable, is_public
from antiphon.sandbox.base import SandboxError
from antiphon.sandbox.inside import SOCKETS, Inside
from antiphon.sandbox.programs import run_program

Resolve = Callable[[str, int], Awaitable[Sequence[tuple[str, int]]]]
"""From a host and a port to addresses, each with its port. Raises OSError."""

PORT: Final = 3128
"""Of the bridge, inside."""
ENVIRONMENT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{PORT}"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
}
"""What programs inside are given, so that they find the way."""

CONNECTIONS: Final = 64
"""At once, of one sandbox."""
_HTTPS: Final = 443
_HEAD_BYTES: Final = 16 << 10
_PIECE_BYTES: Final = 64 << 10
_HEAD_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 15.0
_IDLE_SECONDS: Final = 300.0
_START_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.01
_SOCKET: Final = "egress"
_READY: Final = "bridge"
_CONNECT: Final = re.compile(rb"CONNECT ([A-Za-z0-9._-]{1,253}):([0-9]{1,5}) HTTP/1\.[01]\r\n")


class _Refused(Exception):
    """Why there is no connection, with the status that says so."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status


async def resolve(host: str, port: int) -> Sequence[tuple[str, int]]:
    """As this machine does it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    return [(str(address[0]), port) for *_, address in found]


class Egress:
    """The proxy of one sandbox. `start` opens the bridge to it too."""

    def __init__(
        self, domains: Sequence[str], reachable: Reachable = is_public, resolve: Resolve = resolve
    ) -> None:
        self._domains = [domain.lower().rstrip(".") for domain in domains]
        self._reachable = reachable
        self._resolve = resolve
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        inside: Inside,
        domains: Sequence[str],
        reachable: Reachable = is_public,
        resolve: Resolve = resolve,
    ) -> Self:
        """Open the way of a sandbox at both ends, before code runs in it. Raises SandboxError, OSError."""
        egress = cls(domains, reachable, resolve)
        await egress.listen(inside.sockets / _SOCKET)
        try:
            arguments = [str(PORT), f"{SOCKETS}/{_SOCKET}", f"{SOCKETS}/{_READY}"]
            await run_program(inside, "python3", "bridge.py", arguments)
            await _until_there(str(inside.sockets / _READY))
        except BaseException:
            await egress.close()
            raise
        return egress

    async def listen(self, path: Path) -> None:
        """Open the way, at a socket that the sandbox is shown. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._accept, path, limit=_HEAD_BYTES)
        os.chmod(path, 0o666)  # who is let into the folder is let in

    async def close(self) -> None:
        """Close it, with all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def allows(self, host: str) -> bool:
        """Whether a host is one of the domains; `*.example.com` are all hosts below that name."""
        host = host.lower().rstrip(".")
        return any(
            host.endswith(domain[1:]) if domain.startswith("*.") else host == domain
            for domain in self._domains
        )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except _Refused as refusal:
            words = f"{refusal}\n".encode()
            head = (
                f"HTTP/1.1 {refusal.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(words)}\r\n"
            )
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + words)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_HEAD_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:  # by close(), and by nobody else
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) > 2 * CONNECTIONS:
            return
        host, port = await self._asked(reader)
        if len(self._tasks) > CONNECTIONS:
            raise _Refused("503 Service Unavailable", f"No more than {CONNECTIONS} connections at once.")
        there_reader, there_writer = await self._connected(host, port)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _joined(_Pump(reader, there_writer), _Pump(there_reader, writer))
        finally:
            there_writer.close()

    async def _asked(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        """Where a connection is to lead. Raises _Refused."""
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise _Refused("431 Request Header Fields Too Large", "The head is too large.") from None
        asked = _CONNECT.match(head)
        if asked is None:
            raise _Refused("403 Forbidden", "Only HTTPS leaves this sandbox, to hosts by their names.")
        host, port = asked[1].decode(), int(asked[2])
        if port != _HTTPS or not self.allows(host):
            allowed = ", ".join(self._domains)
            raise _Refused("403 Forbidden", f"{host}:{port} is not allowed. Allowed is HTTPS to: {allowed}.")
        return host, port

    async def _connected(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises _Refused."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                found = await self._resolve(host, port)
                allowed = [each for each in found if self._reachable(each[0])]
                if not allowed:
                    raise _Refused("403 Forbidden", f"{host} leads to an address that is not public.")
                return await asyncio.open_connection(*allowed[0])
        except TimeoutError:
            raise _Refused("504 Gateway Timeout", f"{host} does not answer.") from None
        except OSError as error:
            raise _Refused("502 Bad Gateway", f"{host} is not reached: {error.strerror or error}.") from None
        except UnicodeError:
            raise _Refused("502 Bad Gateway", f"{host} is no name that can be looked up.") from None


class _Pump:
    """Hands on what comes, one way. An idle one ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def run(self, deadline: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        while piece := await self._reader.read(_PIECE_BYTES):
            deadline.reschedule(loop.time() + _IDLE_SECONDS)
            self._writer.write(piece)
            await self._writer.drain()
        if self._writer.can_write_eof():
            self._writer.write_eof()


async def _joined(*pumps: _Pump) -> None:
    """Runs both ways until both have ended, or one has failed."""
    async with asyncio.timeout(_IDLE_SECONDS) as deadline:
        ways = [asyncio.ensure_future(pump.run(deadline)) for pump in pumps]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _until_there(path: str) -> None:
    for _ in range(int(_START_SECONDS / _LOOK_SECONDS)):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.lstat(path).st_mode):
                return
        await asyncio.sleep(_LOOK_SECONDS)
    raise SandboxError("The sandbox's bridge to its proxy does not start.")
