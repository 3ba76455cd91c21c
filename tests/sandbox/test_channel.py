"""What a sandbox may send to the server, where its agent is not what it should be."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from antiphon.sandbox.base import SandboxEnded
from antiphon.sandbox.channel import Channel, Gone


class Inside:
    """Who writes from inside, and the channel to him."""

    def __init__(self, channel: Channel, end: socket.socket) -> None:
        self.channel = channel
        self._end = end

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, struct.pack(">I", len(data)) + data)

    async def say(self, **members: object) -> None:
        await self.send(json.dumps(members).encode())


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = await Channel.open(ours)
    yield Inside(channel, theirs)
    channel.close("The test is over.")
    theirs.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"no", b"[]", b'{"error": "\xff"}', b'{"result": ' + b"[" * 100_000, b'{"id": "x"}'],
    ids=["empty", "no JSON", "another", "no UTF-8", "deep", "type"],
)
async def test_what_is_no_message_is_the_end(inside: Inside, data: bytes) -> None:
    await inside.send(data)
    with pytest.raises(Gone):
        await inside.channel.serve()


async def test_a_program_that_ends_twice_has_ended_once(inside: Inside) -> None:
    serving = asyncio.create_task(inside.channel.serve())
    await inside.say(started=7)
    for code in (1, 2):
        await inside.say(ended=7, code=code)
    asked = asyncio.create_task(inside.channel.ask("x"))
    await inside.say(id=1, result="heard")

    assert await asyncio.wait_for(asked, 60) == "heard"
    assert await inside.channel.ended(7) == 1
    serving.cancel()


async def test_a_program_that_was_never_started_does_not_end(inside: Inside) -> None:
    with pytest.raises(SandboxEnded):
        await inside.channel.ended(7)


async def test_programs_without_end_are_the_end(inside: Inside) -> None:
    async def start() -> None:
        for number in range(100_000):
            await inside.say(started=number)

    starting = asyncio.create_task(start())
    with pytest.raises(Gone):
        await asyncio.wait_for(inside.channel.serve(), 60)
    starting.cancel()
