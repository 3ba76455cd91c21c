"""A chain goes on in the same way whether its history was remembered or read: the upstream is sent the same
by a server that made all turns, and by another one with the same store that made none."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from tests.api.asking import ADD, refused
from tests.conftest import Running, checked_client, config_for
from tests.papers import picture_url, png
from tests.scripted import Answer, Called, Gate, Upstream
from tests.store.contract.kit import set_back

from antiphon.config import Server, hash_key
from antiphon.engine.histories import Histories, History
from antiphon.protocol.content import InputText, OutputText
from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, InputMessage
from antiphon.store.open import open_store

TURNS = 4
PIXEL = picture_url()


@pytest.fixture
def servers(upstream: Upstream, tmp_path: Path) -> Iterator[tuple[OpenAI, OpenAI]]:
    """Two that share a store."""
    upstream.default = Answer("I see.")
    config = config_for(upstream, tmp_path)
    with (
        Running(config) as one,
        Running(config) as other,
        checked_client(one.url) as a,
        checked_client(other.url) as b,
    ):
        yield a, b


@pytest.fixture
def forgetful(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenAI]:
    """Another one, which keeps no histories."""
    monkeypatch.setattr("antiphon.engine.engine.Histories", lambda: Histories(most=0))
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        yield client


def ask(client: OpenAI, given: Any, previous: str | None, **members: Any) -> Any:
    return client.responses.create(model="m", input=given, previous_response_id=previous, **members)


def chain(client: OpenAI, turns: int = TURNS, **members: Any) -> list[str]:
    ids: list[str] = []
    for n in range(turns):
        ids.append(ask(client, f"Thing {n}", ids[-1] if ids else None, **members).id)
    return ids


def read(client: OpenAI, upstream: Upstream, given: Any, previous: str, **members: Any) -> Any:
    """The messages that a model reads of a turn."""
    ask(client, given, previous, **members)
    return upstream.last.body["messages"]


def user(text: str) -> Any:
    return {"role": "user", "content": text}


CALL = [
    {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "3"},
]
GIVEN: dict[str, Any] = {
    "a text": "And now?",
    "two messages": [user("One more."), user("And now?")],
    "an assistant's words first": [{"role": "assistant", "content": "Also:"}, user("And now?")],
    "a developer's words": [{"role": "developer", "content": "Be brief."}, user("And now?")],
    "a picture": [
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": PIXEL}],
        }
    ],
    "a call and its output": CALL,
    "other words in quotes": 'He said: "\\ \u2028 é".',
}


@pytest.mark.parametrize("first", GIVEN.values(), ids=GIVEN)
def test_the_model_reads_the_same_of_what_was_remembered_as_of_what_was_read(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream, first: Any
) -> None:
    remembers, reads = servers
    last = ask(remembers, first, chain(remembers, 2)[-1]).id
    last = ask(remembers, "Go on.", last).id
    for given in GIVEN.values():
        if given == first == CALL:
            continue  # a call comes once
        told = read(remembers, upstream, given, last, instructions="Answer.")
        assert told == read(reads, upstream, given, last, instructions="Answer.")
        assert [message["content"] for message in told[1:4]] == ["Thing 0", "I see.", "Thing 1"]


def test_calls_in_a_chain_are_remembered_too(servers: tuple[OpenAI, OpenAI], upstream: Upstream) -> None:
    remembers, reads = servers
    upstream.script(Answer("Hm."), Answer(calls=[Called("add", '{"a":1,"b":2}')]))
    called = ask(remembers, "Add", chain(remembers, 1)[-1], tools=[ADD]).model_dump()
    (call,) = called["output"]
    answered = [{"type": "function_call_output", "call_id": call["call_id"], "output": "3"}]
    last = ask(remembers, answered, called["id"]).id
    assert read(remembers, upstream, "So?", last) == read(reads, upstream, "So?", last)


def test_two_may_go_on_from_one_response(servers: tuple[OpenAI, OpenAI], upstream: Upstream) -> None:
    remembers, reads = servers
    last = chain(remembers)[-1]
    for given in ("One way", "Another way"):
        assert read(remembers, upstream, given, last) == read(reads, upstream, given, last)


def test_what_another_process_deleted_is_not_continued(servers: tuple[OpenAI, OpenAI]) -> None:
    remembers, deletes = servers
    last = chain(remembers)[-1]
    deletes.responses.delete(last)
    with refused(400, "previous_response_not_found", "previous_response_id"):
        ask(remembers, "And now?", last)


def test_what_is_in_the_middle_may_be_deleted(servers: tuple[OpenAI, OpenAI], upstream: Upstream) -> None:
    remembers, deletes = servers
    ids = chain(remembers)
    deletes.responses.delete(ids[1])
    told = read(remembers, upstream, "And now?", ids[-1])
    assert told == read(deletes, upstream, "And now?", ids[-1])


def test_what_was_deleted_while_its_successor_was_made_is_not_read_again(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream
) -> None:
    remembers, deletes = servers
    ids = chain(remembers)
    gate = Gate(after=0)
    upstream.script(Answer("Done.", gate=gate))
    made: list[str] = []
    asking = threading.Thread(target=lambda: made.append(ask(remembers, "Wait", ids[-1]).id))
    asking.start()
    gate.wait_reached()
    for each in ids:
        deletes.responses.delete(each)
    gate.open()
    asking.join()
    told = read(remembers, upstream, "And now?", made[0])
    assert [message["content"] for message in told] == ["Wait", "Done.", "And now?"]


def test_an_item_that_was_taken_out_of_a_conversation_is_not_read_by_what_goes_on_from_it(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream
) -> None:
    remembers, deletes = servers
    conversation = remembers.conversations.create(items=[user("A secret")]).id
    said = remembers.responses.create(model="m", input="Hello", conversation=conversation).id
    last = ask(remembers, "And now?", ask(remembers, "Go on.", said).id).id
    secret = remembers.conversations.items.list(conversation, order="asc").data[0]
    deletes.conversations.items.delete(secret.id or "", conversation_id=conversation)
    told = read(remembers, upstream, "What was it?", last)
    assert told == read(deletes, upstream, "What was it?", last)
    assert "A secret" not in [message["content"] for message in told]


def test_a_conversation_that_two_processes_write_to_is_read_as_it_is(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream
) -> None:
    """Each has read a part of it, of which the other one takes an item out."""
    one, other = servers
    conversation = one.conversations.create(items=[user("Nought")]).id

    def told(client: OpenAI, text: str) -> list[str]:
        client.responses.create(model="m", input=text, conversation=conversation)
        return [message["content"] for message in upstream.last.body["messages"]]

    def delete(client: OpenAI, at: int) -> None:
        item = one.conversations.items.list(conversation, order="asc", limit=100).data[at]
        client.conversations.items.delete(item.id or "", conversation_id=conversation)

    assert told(one, "1") == ["Nought", "1"]
    assert told(other, "2") == ["Nought", "1", "I see.", "2"]
    assert told(one, "3") == ["Nought", "1", "I see.", "2", "I see.", "3"]
    delete(other, 2)
    assert told(one, "4") == ["Nought", "1", "2", "I see.", "3", "I see.", "4"]
    delete(one, 0)
    assert told(other, "5") == ["1", "2", "I see.", "3", "I see.", "4", "I see.", "5"]
    assert told(one, "6") == ["1", "2", "I see.", "3", "I see.", "4", "I see.", "5", "I see.", "6"]


def test_a_conversation_whose_database_was_set_back_is_read_as_it_is(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream, tmp_path: Path
) -> None:
    one, other = servers
    conversation = one.conversations.create().id

    async def lose() -> None:
        store = await open_store(config_for(upstream, tmp_path).store_url)
        await store.write(set_back, conversation, 2)
        await store.close()

    for text in ("Hello", "Lost", "Lost too"):
        one.responses.create(model="m", input=text, conversation=conversation)
    asyncio.run(lose())
    other.responses.create(model="m", input="Anew", conversation=conversation)
    one.responses.create(model="m", input="And now?", conversation=conversation)
    told = [message["content"] for message in upstream.last.body["messages"]]
    assert told == ["Hello", "I see.", "Anew", "I see.", "And now?"]


@pytest.mark.parametrize("chained", [False, True], ids=["conversation", "chain"])
def test_a_picture_that_could_not_be_read_for_a_moment_is_shown_when_it_can(
    servers: tuple[OpenAI, OpenAI], upstream: Upstream, tmp_path: Path, chained: bool
) -> None:
    client, _ = servers
    url = picture_url(png(1, 1) + bytes(6_000))
    shown = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    continues = {} if chained else {"conversation": client.conversations.create().id}

    def go_on(given: Any) -> None:
        made = client.responses.create(model="m", input=given, **continues)
        if chained:
            continues["previous_response_id"] = made.id

    go_on(shown)
    (blob,) = (path for path in (tmp_path / "files").rglob("*") if path.is_file())
    away = blob.rename(tmp_path / "away")
    with suppress(BadRequestError):  # the image is empty
        go_on("What is it?")
    away.rename(blob)
    go_on("And now?")
    assert url in str(upstream.last.body)


class Talk:
    """A conversation, and chains of responses, some of which go on from it. Any of the servers may do the
    next thing; before each turn the forgetful one tells what the model will read."""

    def __init__(
        self, servers: tuple[OpenAI, OpenAI], forgetful: OpenAI, upstream: Upstream, seed: int
    ) -> None:
        self._servers, self._forgetful, self._upstream = servers, forgetful, upstream
        self._random = Random(seed)
        self._conversation = servers[0].conversations.create(items=[user("Nought")]).id
        self._responses: list[str] = []
        self._said = 0

    def go_on(self) -> None:
        acts: list[Callable[[OpenAI], None]] = [
            self._speak,
            self._chain,
            self._add,
            self._remove,
            self._delete,
        ]
        (act,) = self._random.choices(acts, weights=[5, 5, 2, 2, 2])
        act(self._random.choice(self._servers))

    def _speak(self, client: OpenAI) -> None:
        self._turn(client, conversation=self._conversation)

    def _chain(self, client: OpenAI) -> None:
        newest = self._responses[-4:] or [None]
        self._turn(client, previous_response_id=self._random.choice([newest[-1], *newest]))

    def _turn(self, client: OpenAI, **members: Any) -> None:
        self._said += 1
        expected = self._read(self._forgetful, store=False, **members)
        assert self._read(client, **members) == expected

    def _read(self, client: OpenAI, **members: Any) -> Any:
        """What the model reads, or why it reads nothing."""
        try:
            made = client.responses.create(model="m", input=f"Thing {self._said}", **members)
        except APIStatusError as refusal:
            return refusal.code
        if members.get("store") is not False:
            self._responses.append(made.id)
        return self._upstream.last.body["messages"]

    def _add(self, client: OpenAI) -> None:
        items = [user(f"Note {self._said}.{n}") for n in range(self._random.choice((1, 2, 18)))]
        client.conversations.items.create(self._conversation, items=items)

    def _remove(self, client: OpenAI) -> None:
        items = client.conversations.items.list(self._conversation, limit=100).data
        if items:
            item = self._random.choice(items)
            client.conversations.items.delete(item.id or "", conversation_id=self._conversation)

    def _delete(self, client: OpenAI) -> None:
        if self._responses:
            gone = self._random.choice(self._responses[-4:])  # and who goes on from it is refused
            with suppress(NotFoundError):
                client.responses.delete(gone)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_two_processes_add_and_delete_the_model_reads_what_is_there(
    servers: tuple[OpenAI, OpenAI], forgetful: OpenAI, upstream: Upstream, seed: int
) -> None:
    talk = Talk(servers, forgetful, upstream, seed)
    for _ in range(40):
        talk.go_on()


def test_no_project_goes_on_from_what_another_one_said(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("I see.")
    keys = Server(verify=True, keys={"one": hash_key("k1"), "two": hash_key("k2")})
    with (
        Running(config_for(upstream, tmp_path, keys)) as running,
        checked_client(running.url, "k1") as one,
        checked_client(running.url, "k2") as two,
    ):
        last = chain(one)[-1]
        with refused(400, "previous_response_not_found", "previous_response_id"):
            ask(two, "And now?", last)


# ---- what is kept ------------------------------------------------------------------------------------


def exchange(text: str) -> list[Item]:
    return [
        InputMessage(id="a", role="user", content=(InputText(text=text),), status="completed"),
        AssistantMessage(id="b", content=(OutputText(text=text),), status="completed"),
    ]


def test_the_history_that_was_used_last_is_kept() -> None:
    history = History().followed_by(exchange("x" * 1000), 2000)
    kept = Histories(most=4 * history.size)
    for name in ("first", "second", "third", "fourth"):
        kept.keep("p", name, history)
    assert kept.find("p", "first") is history
    kept.keep("p", "fifth", history)
    assert kept.find("p", "second") is None
    assert kept.find("p", "first") is kept.find("p", "third") is kept.find("p", "fifth") is history
    assert kept.find("q", "first") is None


@pytest.mark.parametrize("read", [False, True], ids=["written", "read"])
def test_a_history_that_is_too_large_is_not_kept_and_drives_out_no_other(read: bool) -> None:
    rows = [b"1", b"2"] if read else []
    small = History(items=tuple(exchange("x")), length=10)
    large = History(items=tuple(exchange("x")), length=2 * Histories()._most, rows=rows)
    kept = Histories()
    names = [f"r{n}" for n in range(20)]

    def keep(history: History) -> None:
        kept.keep_read("p", history) if read else kept.keep("p", "large", history)

    def found() -> History | None:
        return kept.beginning("p", rows) if read else kept.find("p", "large")

    for name in names:
        kept.keep("p", name, small)
    keep(replace(small, rows=rows))
    assert found() == replace(small, rows=rows)
    before = kept._size
    keep(large)  # it has become large: what it was is of no use any more
    assert found() == (History() if read else None)
    assert kept._size == before - replace(small, rows=rows).size
    assert all(kept.find("p", name) is small for name in names)
    keep(replace(large, length=large.length // 32))
    assert found() == replace(large, length=large.length // 32)
    assert all(kept.find("p", name) is small for name in names)


def test_what_is_empty_is_not_kept_for_ever() -> None:
    kept = Histories(most=100_000)
    for n in range(1_000):
        kept.keep("p", f"conv_{n}", History())
    assert kept.find("p", "conv_0") is None
    assert len(kept._known) < 200


def test_a_history_of_which_something_was_missing_is_not_kept() -> None:
    whole = History().followed_by(exchange("x"), 2)
    kept = Histories()
    kept.keep("p", "c", whole)
    for torn in (replace(whole, torn=True), replace(whole, torn=True).followed_by(exchange("y"), 2)):
        kept.keep("p", "c", torn)
        kept.keep_read("p", replace(torn, rows=[b"1"]))
        assert kept.find("p", "c") is None
        assert kept.beginning("p", [b"1"]) == History()


def test_a_history_that_is_kept_again_takes_its_place_once() -> None:
    """Two that go on from one response at once both read what came before it."""
    history = History(length=2_000)
    histories = Histories(most=4 * history.size)
    for _ in range(10):
        histories.keep("a", "again", history)
    others = ("one", "two", "three")
    for name in others:
        histories.keep("a", name, history)
    assert all(histories.find("a", name) is history for name in ("again", *others))


def test_of_what_was_read_the_beginning_is_known_as_long_as_it_is_the_same() -> None:
    rows = [b"1", b"2", b"3"]
    history = History(length=3, rows=rows[:2])
    histories = Histories()
    histories.keep_read("p", history)
    histories.keep_read("p", History())
    assert histories.beginning("p", rows) is histories.beginning("p", rows[:2]) is history
    for other in (rows[:1], [b"1", b"4", b"3"], rows[1:], []):
        assert histories.beginning("p", other) == History()
    assert histories.beginning("q", rows) == History()


def test_a_history_of_words_grows_by_turns() -> None:
    history = History().followed_by(exchange("x"), 2).followed_by(exchange("y"), 2)
    assert history.words
    assert history.said is not None
    assert [message.text for message in history.said.messages] == ["x", "x", "y", "y"]


def told(history: History) -> list[str] | None:
    return None if history.said is None else [message.text for message in history.said.messages]


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "apart"])
@pytest.mark.parametrize("cuts", [[1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3], [1, 4], [3, 5]])
def test_a_history_is_said_by_turns_wherever_it_was_cut(cuts: list[int], apart: bool) -> None:
    """A conversation is read while a turn of it is being made, or was written to by its client."""
    items = [item for text in ("a", "b", "c") for item in exchange(text)]
    if apart:  # two messages that the model wrote as one turn
        items.insert(2, items[1])
    history = History()
    for start, end in pairwise([0, *cuts, len(items)]):
        history = history.followed_by(items[start:end], 1)
    assert history.words
    assert told(history) == told(History().followed_by(items, 1))
    assert told(history) is not None


def test_a_history_that_is_not_said_by_turns_is_none_that_was() -> None:
    first, answer = exchange("a")
    history = History().followed_by([first], 1)
    assert told(history) is None
    for more in ([first], [first, answer]):
        assert told(history.followed_by(more, 1)) is None
    by_turns = history.followed_by([answer], 1)
    assert told(by_turns) == ["a", "a"]
    assert told(by_turns.followed_by([first, first, answer], 1)) is None
