"""A request and its answer on a connection: uvicorn's, with a head that is written in one go.

uvicorn looks at each header by itself, twice with a regular expression: that costs more than to write them.
"""

from collections.abc import Collection
from operator import itemgetter
from string import ascii_lowercase, digits
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from antiphon.api.gathered import Gathered

_first, _second = itemgetter(0), itemgetter(1)
_NAMED = b"!#$%&'*+.^_`|~-" + (digits + ascii_lowercase).encode()
"""Bytes that the name of a header may have."""
_SAID = bytes([9, *range(32, 127), *range(128, 256)])
"""Those that its value may have: none of them ends a line."""
_BODILESS = (204, 304)
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection"))

POUR = "pour"
"""The member of the message that begins an answer in which its application is given `Cycle.pour`, where the
body goes out in chunks."""


class Cycle(RequestResponseCycle):
    """What the application sends goes to the transport in as few pieces as there are messages."""

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI. Raises RuntimeError for what an application may not send."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            self._write(message.get("body", b""), message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], [*message.get("headers", ())])
            if self.chunked_encoding and self.scope["method"] != "HEAD":
                cast(dict[str, Any], message)[POUR] = self.pour
        else:
            raise RuntimeError(f"'{message['type']}' may not be sent here.")

    def pour(self, body: bytes) -> bool:
        """More of the body, not gathered and not waited for. False: it has to be sent, since the client is
        slow or gone."""
        if self.flow.write_paused or self.disconnected or self.response_complete:
            return False
        cast(Gathered, self.transport).write_at_once(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _begin(self, status: int, headers: Collection[tuple[bytes, bytes]]) -> None:
        """The names of headers are in lower case, as ASGI has it."""
        self.response_started = True
        self.waiting_for_100_continue = False
        said = {name: value for name, value in headers if name in _FRAMING}
        if b"content-length" in said:
            self.expected_content_length, self.chunked_encoding = int(said[b"content-length"]), False
        elif b"transfer-encoding" in said:
            self.chunked_encoding = True
        _check(headers)
        lines = [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        if b"close" in said.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        self.transport.write(b"%b%b\r\n" % (STATUS_LINE[status], b"".join(lines)))

    def _write(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("The answer is longer than its Content-Length.")
            self.transport.write(body)
        if not more:
            self._end()

    def _end(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("The answer is shorter than its Content-Length.")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _check(headers: Collection[tuple[bytes, bytes]]) -> None:
    """All of them at once. Raises RuntimeError for one that would become another, or two."""
    names, values = b"".join(map(_first, headers)), b"".join(map(_second, headers))
    if names.translate(None, _NAMED) or values.translate(None, _SAID) or b"" in map(_first, headers):
        raise RuntimeError("A header has a name or a value that is not allowed.")
