"""Several servers with the same models behind one backend."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.backends import health, replicas
from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.named_models import NamedModel
from antiphon.backends.prefixes import prefix_of
from antiphon.backends.replicas import Replicas
from antiphon.backends.router import BackendConfig, Router, build
from antiphon.model import Backend, Call, Capabilities, Message, TextDelta, TextPart, Turn
from antiphon.model.backend import common
from antiphon.protocol.errors import ApiError, InvalidRequest, NotFound, UpstreamError

DOWN = "http://127.0.0.1:9/v1"


class Set(NamedTuple):
    backend: Backend
    servers: Sequence[Upstream]

    @property
    def asked(self) -> list[int]:
        return [len(server.requests) for server in self.servers]

    def home(self, turn: Turn) -> Upstream:
        """The server that a turn is asked of while all are well."""
        return self.servers[self.asked.index(1)]


@pytest.fixture
def servers() -> Iterator[list[Upstream]]:
    with Upstream() as first, Upstream() as second, Upstream() as third:
        for server in (first, second, third):
            server.default = Answer("well")
        yield [first, second, third]


def config(*urls: str, **members: object) -> BackendConfig:
    return BackendConfig(name="set", base_urls=urls, default=True, dialect="generic", **members)  # type: ignore[arg-type]


@pytest.fixture
async def several(servers: list[Upstream]) -> AsyncIterator[Set]:
    router = build([config(*(server.base_url for server in servers))])
    yield Set(router.resolve("m").backend, servers)
    await router.close()


def turn(*said: str, cache_key: str | None = None, system: str = "Be brief.") -> Turn:
    """What the user and the assistant said in turns."""
    roles = ("user", "assistant")
    messages = [Message(roles[n % 2], (TextPart(text),)) for n, text in enumerate(said)]  # type: ignore[arg-type]
    return Turn("m", (Message("system", (TextPart(system),)), *messages), cache_key=cache_key)


async def said(backend: Backend, asked: Turn) -> str:
    text = ""
    async with aclosing(backend.stream(asked)) as batches:
        async for batch in batches:
            text += "".join(delta.text for delta in batch if isinstance(delta, TextDelta))
    return text


async def test_a_chain_stays_where_it_began(several: Set) -> None:
    for chain in range(20):
        before = several.asked
        words = [f"chain {chain}"]
        for _ in range(4):
            words += [await said(several.backend, turn(*words)), "go on"]
        assert sorted(now - then for now, then in zip(several.asked, before, strict=True)) == [0, 0, 4]
    assert min(several.asked) > 0, "all chains are in one place"


async def test_whoever_gives_a_key_is_served_in_one_place(several: Set) -> None:
    for number in range(10):
        await said(several.backend, turn(f"question {number}", cache_key="mine"))
    assert sorted(several.asked) == [0, 0, 10]


async def test_turns_at_once_are_spread(several: Set) -> None:
    gates = [Gate(0) for _ in several.servers]
    for server, gate in zip(several.servers, gates, strict=True):
        server.script(Answer("first", gate=gate))
    asked = asyncio.gather(*(said(several.backend, turn("the same")) for _ in gates))
    await asyncio.gather(*(gate.reached() for gate in gates))
    assert several.asked == [1, 1, 1]
    for gate in gates:
        gate.open()
    assert await asked == ["first"] * 3


@pytest.mark.parametrize("calls", [False, True], ids=["text", "calls"])
async def test_chains_that_begin_alike_stay_where_each_of_them_began(several: Set, calls: bool) -> None:
    """They were spread since they came at once, and each had an answer of its own."""
    beginning = turn("the same")
    gates = [Gate(0) for _ in several.servers]
    for number, (server, gate) in enumerate(zip(several.servers, gates, strict=True)):
        spoken = [Called("add", "{}", f"call_{number}")] if calls else ()
        server.script(Answer("" if calls else f"I am {number}. " * 20, calls=spoken, size=7, gate=gate))
    asked = [asyncio.create_task(said(several.backend, beginning)) for _ in gates]
    await asyncio.gather(*(gate.reached() for gate in gates))
    for gate in gates:
        gate.open()
    await asyncio.gather(*asked)
    for number, server in enumerate(several.servers):
        text = (TextPart(f"I am {number}. " * 20),)
        answer: tuple[Message, ...] = (Message("assistant", text), *turn("And you?").messages[1:])
        if calls:
            made = Message("assistant", calls=(Call(f"call_{number}", "add", "{}"),))
            answer = (made, Message("tool", (TextPart("3"),), call_id=f"call_{number}"))
        before = len(server.requests)
        await said(several.backend, replace(beginning, messages=(*beginning.messages, *answer)))
        assert len(server.requests) == before + 1


@pytest.mark.parametrize(
    "failing",
    [
        refusal(500, "broken"),
        refusal(503, "loading"),
        refusal(429, "slow down"),
        refusal(401, "no"),
        Answer("lost", cut_after=0),
    ],
    ids=["500", "503", "429", "401", "cut"],
)
async def test_what_one_server_does_not_answer_another_does(several: Set, failing: Answer) -> None:
    await said(several.backend, turn("hello"))
    several.home(turn("hello")).script(failing)
    assert await said(several.backend, turn("hello")) != ""
    assert sum(several.asked) == 3


async def test_a_server_that_failed_is_left_alone_for_a_while_and_then_asked_again(
    servers: list[Upstream],
) -> None:
    """The first failure may be chance; the second is not."""
    now = 0.0
    made = [(server.base_url, ChatCompletions(server.base_url, attempts=1)) for server in servers]
    several = Set(Replicas(made, clock=lambda: now), servers)
    await said(several.backend, turn("hello"))
    home = several.home(turn("hello"))
    home.script(refusal(500, "broken"), refusal(500, "broken"), Answer("well again"))
    for _ in range(4):
        await said(several.backend, turn("hello"))
    assert len(home.requests) == 3
    now = 1.0
    await said(several.backend, turn("hello"))
    assert len(home.requests) == 4
    home.script(refusal(429, "slow down", retry_after="30"), Answer("well again"))
    for _ in range(2):
        await said(several.backend, turn("hello"))
    assert len(home.requests) == 5
    now = 31.0
    await said(several.backend, turn("hello"))
    assert len(home.requests) == 6
    await several.backend.close()


async def test_what_was_said_is_not_said_again_by_another(several: Set) -> None:
    for server in several.servers:
        server.script(Answer("The beginning of it", size=3, cut_after=4))
    with pytest.raises(UpstreamError):
        await said(several.backend, turn("hello"))
    assert sum(several.asked) == 1


async def test_what_a_client_got_wrong_is_asked_of_nobody_else(several: Set) -> None:
    for server in several.servers:
        server.script(refusal(400, "messages is wrong"))
    with pytest.raises(InvalidRequest):
        await said(several.backend, turn("hello"))
    assert sum(several.asked) == 1


async def test_each_server_is_asked_once_and_then_it_is_given_up(several: Set) -> None:
    for server in several.servers:
        server.script(refusal(500, "broken"))
    with pytest.raises(UpstreamError):
        await said(several.backend, turn("hello"))
    assert several.asked == [1, 1, 1]


async def test_a_server_that_is_away_costs_nobody_an_answer(servers: list[Upstream]) -> None:
    router = build([config(DOWN, servers[0].base_url)])
    backend = router.resolve("m").backend
    assert all([await said(backend, turn(f"question {number}")) for number in range(10)])
    async with router.probing():
        assert "generic" not in str(await backend.models())
    await router.close()


@pytest.mark.parametrize("named", [(), (NamedModel(name="m", capabilities={"images": False}),)])
async def test_who_waits_for_a_server_that_hangs_is_answered_by_another(
    servers: list[Upstream], monkeypatch: pytest.MonkeyPatch, named: Sequence[NamedModel]
) -> None:
    """It takes connections, and says nothing: not even that it is there. Whatever is said of its models."""
    monkeypatch.setattr(health, "CHECK_PATIENCE", 1.0)

    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        router = build([config(f"http://127.0.0.1:{port}/v1", servers[0].base_url)], named=named)
        async with router.probing(), asyncio.timeout(60):
            asked = [said(router.resolve("m").backend, turn(f"question {number}")) for number in range(20)]
            assert await asyncio.gather(*asked) == ["well"] * 20
        await router.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Raw:
    """A server that takes up every turn at once, and answers when it is told to. It does not list its models:
    that is asked of it in vain."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.taken_up = asyncio.Event()
        self.checked = asyncio.Semaphore(0)
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                await reader.read()
                self.checked.release()
                return
            writer.write(HEAD)
            self.taken_up.set()
            gone = asyncio.ensure_future(reader.read())
            answers = asyncio.ensure_future(self.answers.wait())
            await asyncio.wait([gone, answers], return_when=asyncio.FIRST_COMPLETED)
            if answers.done():
                writer.write(b'data: {"choices":[{"delta":{"content":"late"},"finish_reason":"stop"}]}\n\n')
            for task in (gone, answers):
                task.cancel()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    found = Raw()
    async with await asyncio.start_server(found.handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        found.url = f"http://{host}:{port}/v1"
        yield found


async def test_a_server_that_takes_a_turn_up_and_then_hangs_is_found_out_too(
    raw: Raw, servers: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers send the head of an answer before they read the prompt."""
    monkeypatch.setattr(health, "CHECK_PATIENCE", 1.0)
    router = build([config(raw.url, servers[0].base_url)])
    async with router.probing():
        asked = [said(router.resolve("m").backend, turn(f"question {number}")) for number in range(20)]
        async with asyncio.timeout(60):
            assert await asyncio.gather(*asked) == ["well"] * 20
    assert raw.taken_up.is_set()
    await router.close()


async def test_the_first_byte_is_one_of_the_answer(raw: Raw, servers: list[Upstream]) -> None:
    backend = build([config(raw.url, servers[0].base_url, first_byte_timeout=2)]).resolve("m").backend
    async with asyncio.timeout(60):
        asked = [said(backend, turn(f"question {number}")) for number in range(20)]
        assert await asyncio.gather(*asked) == ["well"] * 20
    assert raw.taken_up.is_set()
    await backend.close()


async def test_a_server_that_is_alone_may_take_its_time(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with much to do does not list its models. Nobody else could answer."""
    monkeypatch.setattr(health, "CHECK_PATIENCE", 0.05)
    monkeypatch.setattr(replicas, "CHECK_SECONDS", 0.01)
    one = BackendConfig(name="one", base_url=raw.url, first_byte_timeout=60, default=True, dialect="generic")
    router = build([one])
    async with router.probing():
        answer = asyncio.create_task(said(router.resolve("m").backend, turn("hello")))
        await raw.taken_up.wait()
        for _ in range(3):
            await raw.checked.acquire()
        raw.answers.set()
        assert await answer == "late"
    await router.close()


async def test_a_name_that_no_server_knows_is_not_held_against_them(several: Set) -> None:
    homes = {}
    for number in range(8):
        before = several.asked
        await said(several.backend, turn(f"question {number}", cache_key=str(number)))
        homes[number] = [now - then for now, then in zip(several.asked, before, strict=True)]
    for server in several.servers:
        server.known_only, server.models = True, ("m",)
    for _ in range(3):
        with pytest.raises(NotFound):
            await said(several.backend, Turn("unknown", turn("hello").messages))
    for number, home in homes.items():
        before = several.asked
        await said(several.backend, turn(f"question {number}", cache_key=str(number)))
        assert [now - then for now, then in zip(several.asked, before, strict=True)] == home


def test_prefixes_are_told_apart_by_their_beginning_alone() -> None:
    """However many instructions there are before the user says something."""
    many = [Message("system", (TextPart(f"Rule {number}."),)) for number in range(1000)]
    other = [*many[:-1], Message("system", (TextPart("Another rule."),))]
    first = [Message("system", (TextPart("Another rule."),)), *many[1:]]
    found = [prefix_of(Turn("m", tuple(messages))) for messages in (many, other, first)]
    assert found[0] == found[1] != found[2]


def test_what_several_servers_can_is_what_each_of_them_can() -> None:
    able = Capabilities(hints=frozenset({"user", "safety_identifier"}), context_window=8192, opaque=True)
    less = Capabilities(json_schema=False, hints=frozenset({"user"}), context_window=4096)
    both = common([able, less, Capabilities(hints=frozenset({"user"}))])
    assert both == Capabilities(
        json_schema=False, hints=frozenset({"user"}), context_window=4096, opaque=True
    )
    assert common([able, able]) == able


async def test_the_first_byte_has_a_time_of_its_own(servers: list[Upstream]) -> None:
    held = Gate(0)
    servers[0].script(Answer("late", gate=held))
    router: Router = build(
        [BackendConfig(name="one", base_url=servers[0].base_url, first_byte_timeout=1.5, default=True)]
    )
    with pytest.raises(ApiError, match="did not begin to answer in time"):
        await said(router.resolve("m").backend, turn("hello"))
    held.open()
    between = Gate(2)
    servers[0].script(Answer("slow but there", size=4, gate=between))
    answer = asyncio.create_task(said(router.resolve("m").backend, turn("hello")))
    await between.reached()
    await asyncio.wait([answer], timeout=2)
    between.open()
    assert await answer == "slow but there"
    await router.close()
