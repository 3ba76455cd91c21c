"""The WebSocket transport of /v1/responses (surface.md section 8, behaviours.md section 8).

Frames in, events out: the same JSON as in a stream, without its wrapping. A lane answers one response at a
time; what comes meanwhile waits. Lanes (`stream_id`) run side by side.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api import parsing
from antiphon.api.admission import admitted, serve_as_granted
from antiphon.api.body import HEAD
from antiphon.api.callers import Caller, caller
from antiphon.api.faults import unforeseen
from antiphon.api.held import hold, let_go
from antiphon.api.services import Services
from antiphon.api.steers import Steers
from antiphon.api.store_errors import api_error
from antiphon.api.tracing import within
from antiphon.engine.memory import Memory
from antiphon.engine.run import Run
from antiphon.engine.steering import Steering
from antiphon.protocol.delta_runs import Emitted, single
from antiphon.protocol.errors import ApiError, InvalidRequest, TooLarge, one_of
from antiphon.protocol.events import Event, SteerEvent
from antiphon.protocol.frames import CreateFrame, ErrorFrame, Peek
from antiphon.protocol.parse import Parsed, parse_create
from antiphon.protocol.wire import encode
from antiphon.store.keys import KeyUse

LANES = 16
"""Lanes that are at work at once, and responses that a connection remembers."""
LIFETIME = 60 * 60
"""Seconds after which a connection ends, as on the real API."""
QUEUE = 32
"""Frames that may wait in a lane."""

_peek = msgspec.json.Decoder(Peek)


async def respond(socket: WebSocket) -> None:
    """GET /responses with Upgrade: websocket."""
    meter = caller(socket).meter
    await socket.accept(headers=meter.headers() if meter is not None else None)
    connection = Connection(socket, socket.state.services, caller(socket))
    try:
        async with asyncio.timeout(LIFETIME):
            await connection.serve()
    except TimeoutError:
        message = "A connection lasts 60 minutes at most. Open a new one."
        await connection.refuse(InvalidRequest(message, code="websocket_connection_limit_reached"), None)
        await socket.close()


class Connection:
    """One client, with its lanes and what is remembered for it."""

    def __init__(self, socket: WebSocket, services: Services, asking: Caller) -> None:
        self._socket = socket
        self._services = services
        self._project = asking.project
        self._memory = Memory(LANES)
        self._lanes: dict[str | None, deque[bytes]] = {}
        """The frames that wait in each lane that is at work; an idle lane takes no place."""
        self._workers: set[asyncio.Task[None]] = set()
        self._steers = Steers(socket.scope, services.config.limits, self._tell)

    async def serve(self) -> None:
        """Until the client goes away; what is under way is stopped then."""
        try:
            while (frame := await self._frame()) is not None:
                await self._receive(frame)
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    async def refuse(self, fault: ApiError, lane: str | None) -> None:
        """Send a fault; the connection stays open."""
        frame = ErrorFrame(status=fault.status, error=fault.body(), stream_id=lane)
        await self._socket.send_text(encode(frame).decode())

    async def _frame(self) -> str | bytes | None:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        return message.get("text") or message.get("bytes") or b""

    async def _receive(self, frame: str | bytes) -> None:
        """Take a frame to its lane."""
        try:
            text = (frame if isinstance(frame, str) else frame.decode()).encode()
            seen = _peek.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fault = InvalidRequest("A frame must be a JSON object in UTF-8, and not nested too deeply.")
            await self.refuse(fault, None)
            return
        try:
            await self._sort(seen, text)
        except ApiError as fault:
            await self.refuse(fault, seen.stream_id)

    async def _sort(self, seen: Peek, text: bytes) -> None:
        if len(text) > self._services.config.server.max_body_bytes:
            raise TooLarge("The frame is too large.", code="request_too_large")
        if seen.type == "response.steer":
            await self._steers.submit(text)
        elif seen.type == "response.inject":
            await self._steers.inject(text)
        elif seen.type != "response.create":
            known = one_of(("response.create", "response.inject", "response.steer"))
            message = f"Invalid value: '{seen.type}'. Supported values are: {known}."
            raise InvalidRequest(message, param="type", code="invalid_value")
        else:
            self._enqueue(seen.stream_id, text)

    def _enqueue(self, lane: str | None, text: bytes) -> None:
        waiting = self._lanes.get(lane)
        if waiting is None:
            if len(self._lanes) >= LANES:
                message = f"A connection answers in {LANES} lanes at once, at most."
                raise InvalidRequest(message, param="stream_id", code="websocket_stream_limit_reached")
            waiting = self._lanes[lane] = deque()
            worker = asyncio.create_task(self._work(lane, waiting))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        if len(waiting) >= QUEUE:
            message = f"At most {QUEUE} frames can wait in a lane."
            raise InvalidRequest(message, code="websocket_stream_limit_reached")
        hold(self._socket.scope, len(text))
        waiting.append(text)

    async def _work(self, lane: str | None, waiting: deque[bytes]) -> None:
        """Answer the frames of a lane, one after another, until none waits."""
        try:
            await self._answer_all(lane, waiting)
        finally:
            del self._lanes[lane]

    async def _answer_all(self, lane: str | None, waiting: deque[bytes]) -> None:
        while waiting:
            text = waiting.popleft()
            try:
                parsed = await self._parse(text)
                with within(self._services.tracer, parsed.request):
                    await self._answer(lane, parsed)
            except ApiError as fault:
                self._memory.forget(lane)
                await self.refuse(fault, lane)
            except WebSocketDisconnect:
                return
            except Exception as error:  # noqa: BLE001 (logged there, unless the store refused)
                self._memory.forget(lane)
                await self.refuse(_fault(error, "turn failed"), lane)
            finally:
                let_go(self._socket.scope, len(text))

    async def _parse(self, text: bytes) -> Parsed:
        server, limits = self._services.config.server, self._services.config.limits
        parse = partial(
            parse_create, lenient=server.lenient, kind=CreateFrame, most_items=limits.request_items
        )
        return await parsing.parsed(text, parse, limits.request_values)

    async def _answer(self, lane: str | None, parsed: Parsed) -> None:
        """A response, and those that follow it because of what is said to them. Raises Unauthorized when the
        key of the connection is none any more."""
        steering = Steering(self._steers.joined(parsed))
        try:
            await self._respond(lane, steering)
        finally:
            if steering.opened:
                self._steers.used(parsed.request.previous_response_id)
        while steering.successor is not None:
            before, steering = steering, Steering(steering.successor.parsed)
            if not await self._succeed(lane, before, steering):
                return

    async def _succeed(self, lane: str | None, before: Steering, steering: Steering) -> bool:
        """The response that follows another one; whether there is one. Where it cannot be, what was said is
        given back."""
        try:
            await self._respond(lane, steering)
        except WebSocketDisconnect:
            raise
        except Exception as error:
            if steering.opened:
                raise
            fault = _fault(error, "successor failed")
            try:
                await self._services.store.responses.delete(self._project, steering.parsed.response_id or "")
            finally:
                await self._steers.give_back(before, lane, "successor_creation_failed", fault.message)
            return False
        finally:
            if steering.opened:
                self._steers.release(before.steers)
        return True

    async def _respond(self, lane: str | None, steering: Steering) -> None:
        """Raises Unauthorized."""
        parsed = steering.parsed
        asking = await self._services.callers.asking(self._socket.scope[HEAD])
        asked, engine = parsed.request, self._services.engine
        serve_as_granted(asking, asked)
        model = asked.model or engine.router.default_model
        admission = await admitted(asking, model, parsed.length, asked.max_output_tokens)
        try:
            await self._run(lane, steering, asking.use if admission is None else admission.use)
        finally:
            if admission is not None:
                admission.end()

    async def _run(self, lane: str | None, steering: Steering, use: KeyUse | None) -> None:
        seconds, engine = self._services.config.server.keep_alive, self._services.engine
        try:
            async with engine.run(self._project, steering.parsed, self._memory, use, steering) as run:
                with self._steers.active(run, steering, lane):
                    await run.execute(partial(self._emit, lane), seconds, run.shows)
                engine.warnings.of(run.plan)  # no frame has a place for them: they are logged
        except WebSocketDisconnect:
            raise
        except Exception:
            message = "The response could not be finished."
            await self._steers.give_back(steering, lane, "response_not_active", message)
            raise
        self._remember(lane, run)
        await self._steers.after(steering, lane, run.machine.snapshot())

    async def _emit(self, lane: str | None, events: Sequence[Emitted]) -> None:
        for event in single(events):
            await self._socket.send_text(_text(event, lane))

    def _remember(self, lane: str | None, run: Run) -> None:
        response = run.machine.snapshot()
        if response.status == "failed":
            self._memory.forget(lane)
        elif not response.store:
            self._memory.keep(lane, response.id, (*run.plan.context.items, *response.output))

    async def _tell(self, event: SteerEvent, lane: str | None) -> None:
        await self._socket.send_text(_text(event, lane))


def _fault(error: Exception, what: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    return api_error(error) or unforeseen(error, what)


def _text(event: Event, lane: str | None) -> str:
    data = encode(event).decode()
    return data if lane is None else f'{data[:-1]},"stream_id":{encode(lane).decode()}}}'
