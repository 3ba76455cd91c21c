"""Frames of a WebSocket as they arrive, with limits, and with words for those that end the connection.

uvicorn closes at once when it can read no further, which a client that still sends never gets to read. And
what has arrived of a message is nobody's until it is whole: here it counts among the bytes that the server
holds.
"""

from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode

from antiphon.api.held import hold, let_go
from antiphon.protocol.errors import ApiError, InvalidRequest, TooLarge
from antiphon.protocol.frames import ErrorFrame
from antiphon.protocol.wire import encode

MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message. All of it passes through the event loop, which must not be held."""
FRAGMENTS = 10_000
"""Frames of a message, which may be empty."""
_LINGER_SECONDS = 2.0
"""How long a client has to read why its connection ends."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection that ends in words, and that takes a refusal for an answer: uvicorn logs that as an error
    of the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ended = False
        """Nothing is read any more."""
        self._held = 0
        """Bytes of a message that is not whole, as far as they are counted."""
        self._counted = 0
        """Its frames that are counted."""
        self._fragments = 0
        """Their bytes."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        super().data_received(data)
        if self.handshake_complete and not self.close_sent:
            self._count()

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        self._counted = self._fragments = 0
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._fail(CloseCode.INVALID_DATA, InvalidRequest("A text frame must be UTF-8."))
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """What arrives cannot be read. The last words, and the end."""
        if isinstance(self.conn.parser_exc, PayloadTooBig):
            most = MESSAGE_BYTES
            fault = TooLarge(f"A frame has at most {most} bytes.", code="request_too_large")
        else:
            fault = None
        self._part(fault)

    def _count(self) -> None:
        """What has arrived of a message is held until it is handed on."""
        if len(self.frames) > FRAGMENTS:
            self._fail(
                CloseCode.MESSAGE_TOO_BIG, InvalidRequest(f"A message has at most {FRAGMENTS} frames.")
            )
            return
        self._fragments += sum(len(data) for data in self.frames[self._counted :])
        self._counted = len(self.frames)
        arrived = len(self.conn.reader.buffer) + self._fragments
        try:
            self._hold(arrived)
        except ApiError as fault:
            self._fail(CloseCode.TRY_AGAIN_LATER, fault)

    def _hold(self, size: int) -> None:
        """Raises Unavailable."""
        scope = cast(Scope, self.scope)
        if size > self._held:
            hold(scope, size - self._held)
        elif size < self._held:
            let_go(scope, self._held - size)
        self._held = size

    def _fail(self, code: CloseCode, fault: ApiError) -> None:
        self.conn.fail(code, fault.code or "")
        self._part(fault)

    def _part(self, fault: ApiError | None) -> None:
        """A client that still sends reads nothing of what whoever closes meanwhile has written: so what it
        sends is taken for a while, and dropped."""
        self._ended = self.close_sent = True
        close = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code if close else 1006})
        self.frames = []
        words = [] if fault is None else [_frame(fault)]
        self.transport.write(b"".join((*words, *self.conn.data_to_send())))
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _frame(fault: ApiError) -> bytes:
    told = ErrorFrame(status=fault.status, error=fault.body())
    return Frame(Opcode.TEXT, encode(told)).serialize(mask=False)


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
