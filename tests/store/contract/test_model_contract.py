"""The store against a model that copies whole histories.

The model knows nothing of threads and positions. A response has a list of what was before it, and lists
of its own; an entry of a list is an object, shared by all lists that it was copied to, so that hiding
it hides it in all. What must be kept is what some list still shows, and nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.contract.homes import HOMES
from tests.store.contract.kit import spoken

from antiphon.store.conversations import ConversationRow, Stretch
from antiphon.store.errors import DuplicateItem
from antiphon.store.items import ItemRow
from antiphon.store.paging import Order, Page, PageQuery
from antiphon.store.responses import ResponseRow
from antiphon.store.statements import Rows, Statement, Steps
from antiphon.store.store import Store


@dataclass(eq=False)
class Entry:
    row: ItemRow
    hidden: bool = False


@dataclass(eq=False)
class Response:
    before: list[Entry]
    input: list[Entry]
    output: list[Entry]
    conversation: str | None

    @property
    def own(self) -> list[Entry]:
        return self.input + self.output


@dataclass
class Model:
    responses: dict[str, Response] = field(default_factory=dict)
    conversations: dict[str, list[Entry]] = field(default_factory=dict)
    ended: dict[str, list[Entry]] = field(default_factory=dict)
    """Deleted conversations."""
    kept: set[Entry] = field(default_factory=set)
    """What outlives a deleted conversation."""

    def save(self, row: ResponseRow) -> None:
        before = self._before(row)
        conversation = self.conversations.get(row.conversation_id or "")
        entries = []
        for item in (*row.input, *row.output):
            entry = Entry(item)
            entries.append(entry)
            if conversation is not None:
                entry.hidden = item.id in ids(seen(conversation))
                conversation.append(entry)
        middle = len(row.input)
        self.responses[row.id] = Response(before, entries[:middle], entries[middle:], row.conversation_id)

    def _before(self, row: ResponseRow) -> list[Entry]:
        if row.conversation_id in self.conversations:
            return list(self.conversations[row.conversation_id])
        if row.conversation_id in self.ended:
            needed = self.needed()
            return [entry for entry in self.ended[row.conversation_id] if entry in needed]
        previous = self.responses.get(row.previous_response_id or "")
        return previous.before + previous.own if previous is not None else []

    def delete_response(self, response_id: str) -> bool:
        response = self.responses.pop(response_id, None)
        if response is not None and response.conversation in self.ended:
            self.kept -= set(response.own)
        return response is not None

    def add(self, conversation_id: str, rows: Sequence[ItemRow]) -> bool | str:
        if conversation_id not in self.conversations:
            return False
        conversation = self.conversations[conversation_id]
        together = ids(seen(conversation)) + [row.id for row in rows]
        if len(set(together)) < len(together):
            return "refused"
        conversation += map(Entry, rows)
        return True

    def remove(self, conversation_id: str, item_id: str) -> bool:
        for entry in seen(self.conversations.get(conversation_id, [])):
            if entry.row.id == item_id:
                entry.hidden = True
                return True
        return False

    def delete_conversation(self, conversation_id: str) -> bool:
        conversation = self.conversations.pop(conversation_id, None)
        if conversation is None:
            return False
        self.kept |= set(seen(conversation))
        self.ended[conversation_id] = conversation
        return True

    def needed(self) -> set[Entry]:
        needed = set(self.kept)
        for response in self.responses.values():
            needed |= {*seen(response.before), *response.own}
        for conversation in self.conversations.values():
            needed |= set(seen(conversation))
        return needed


def seen(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry.hidden]


def rows(entries: Sequence[Entry]) -> list[ItemRow]:
    return [entry.row for entry in entries]


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.row.id for entry in entries]


def jsons(entries: Sequence[Entry]) -> list[bytes]:
    return [entry.row.json for entry in entries]


Listing = Callable[[str, str, PageQuery], Awaitable[Page[ItemRow] | None]]


class Pair:
    """A project of the store and its model, which are asked for the same."""

    def __init__(self, store: Store, project: str) -> None:
        self.store, self.project = store, project
        self.model = Model()
        self.made = {"resp": 0, "conv": 0, "msg": 0}
        self.heard: dict[str, Stretch] = {}
        """What somebody knows of conversations, who has listened to them now and then."""

    def name(self, kind: str, choice: int | None) -> str:
        """A name that was given once, whatever became of it; None: a new one."""
        if choice is None or not self.made[kind]:
            self.made[kind] += 1
            return f"{kind}_{self.made[kind]}"
        return f"{kind}_{self.made[kind] - choice % self.made[kind]}"

    def items(self, choices: Sequence[tuple[int | None, bool]]) -> list[ItemRow]:
        """New items, and old ones again, some with other content."""
        names = [(self.name("msg", choice), changed) for choice, changed in choices]
        return [ItemRow(name, f'"{name} {changed}"'.encode()) for name, changed in names]

    async def save(self, continues: tuple[str, int] | None, asks: Any, says: Any) -> None:
        kind, name = (continues[0], self.name(*continues)) if continues else (None, None)
        row = ResponseRow(
            id=self.name("resp", None),
            created_at=1,
            json=b"{}",
            input=self.items(asks),
            output=self.items(says),
            previous_response_id=name if kind == "resp" else None,
            conversation_id=name if kind == "conv" else None,
        )
        await self.store.responses.save(self.project, row)
        self.model.save(row)

    async def create(self, choices: Any) -> None:
        name = self.name("conv", None)
        rows = list({row.id: row for row in self.items(choices)}.values())
        await self.store.conversations.create(self.project, ConversationRow(name, 1, b"{}"), rows)
        self.model.conversations[name] = [Entry(row) for row in rows]

    async def add(self, conversation: int, choices: Any) -> None:
        name, rows = self.name("conv", conversation), self.items(choices)
        expected = self.model.add(name, rows)
        if expected == "refused":
            with pytest.raises(DuplicateItem):
                await self.store.conversations.add_items(self.project, name, rows)
        else:
            assert await self.store.conversations.add_items(self.project, name, rows) == expected

    async def remove(self, conversation: int, item: int) -> None:
        name = self.name("conv", conversation)
        in_it = ids(self.model.conversations.get(name, [])) or ["none"]
        item_id = in_it[item % len(in_it)]
        expected = self.model.remove(name, item_id)
        assert await self.store.conversations.delete_item(self.project, name, item_id) == expected

    async def delete_response(self, response: int) -> None:
        name = self.name("resp", response)
        assert await self.store.responses.delete(self.project, name) == self.model.delete_response(name)

    async def delete_conversation(self, conversation: int) -> None:
        name = self.name("conv", conversation)
        expected = self.model.delete_conversation(name)
        assert await self.store.conversations.delete(self.project, name) == expected

    async def hear(self, conversation: int) -> None:
        name = self.name("conv", conversation)
        said = self.model.conversations.get(name)
        known = self.heard.get(name, Stretch(0, 0, ()))
        last = known.rows[-1].decode().strip('"').split()[0] if known.rows else ""
        asked = (known.stop, len(known.rows), last)
        found = await self.store.conversations.history(self.project, name, *asked)
        assert (found is None) == (said is None)
        if said is None or found is None:
            return
        rows = (*known.rows, *found.rows) if found.start == known.stop else found.rows
        assert list(rows) == jsons(seen(said))
        assert found.start in (0, known.stop)
        assert found.stop == len(said)
        self.heard[name] = Stretch(0, found.stop, rows)

    async def delete_everything(self) -> None:
        for n in range(self.made["conv"]):
            await self.delete_conversation(n)
        for n in range(self.made["resp"]):
            await self.delete_response(n)

    # ---- comparing ----

    async def compare(self) -> None:
        for n in range(self.made["resp"]):
            await self.compare_response(f"resp_{n + 1}")
        for n in range(self.made["conv"]):
            await self.compare_conversation(f"conv_{n + 1}")
            await self.hear(n)
        await self.compare_rows()

    async def compare_response(self, name: str) -> None:
        response = self.model.responses.get(name)
        stored = await self.store.responses.get(self.project, name)
        history = await self.store.responses.history(self.project, name)
        if response is None:
            assert (stored, history) == (None, None)
            return
        assert stored is not None
        assert stored.output == jsons(response.output)
        assert history == jsons(seen(response.before + response.own))
        expected = rows(seen(response.before) + response.input)
        for order in ("asc", "desc"):
            assert await self.listed(self.store.responses.input_items, name, order, expected) == in_order(
                expected, order
            )

    async def compare_conversation(self, name: str) -> None:
        conversation = self.model.conversations.get(name)
        history = await spoken(self.store, name, self.project)
        if conversation is None:
            assert history is None
            return
        expected = rows(seen(conversation))
        assert history == [row.json for row in expected]
        for order in ("asc", "desc"):
            found = await self.listed(self.store.conversations.items, name, order, expected)
            assert found == in_order(expected, order)
        for row in expected:
            assert await self.store.conversations.item(self.project, name, row.id) == row.json

    async def listed(
        self, method: Listing, name: str, order: Order, expected: list[ItemRow]
    ) -> list[ItemRow]:
        """The whole list, page by page; in one page when an id is in it twice, as cursors need ids."""
        unique = len({row.id for row in expected}) == len(expected)
        found: list[ItemRow] = []
        more = True
        while more:
            after = found[-1].id if found else None
            query = PageQuery(limit=3 if unique else 1000, order=order, after=after)
            page = await method(self.project, name, query)
            assert page is not None
            found += page.rows
            more = page.more
        return found

    async def compare_rows(self) -> None:
        needed = self.model.needed()
        stored = await self.rows("SELECT id, json FROM items WHERE project_id = $1")
        assert set(stored) == {(entry.row.id, entry.row.json) for entry in needed}
        assert len(stored) == len(set(stored))
        assert await self.count("links") == len(needed)
        known = {item_id for item_id, _ in stored}
        for n in range(self.made["msg"]):
            found = await self.store.items.get(self.project, f"msg_{n + 1}")
            assert (found is not None) == (f"msg_{n + 1}" in known)

    async def count(self, table: str) -> int:
        ((rows,),) = await self.rows(f"SELECT count(*) FROM {table} WHERE project_id = $1")
        return int(rows)

    async def rows(self, sql: str) -> Rows:
        def select() -> Steps[Rows]:
            return (yield Statement(sql, (self.project,)))

        return await self.store.write(select)


def in_order(rows: list[ItemRow], order: str) -> list[ItemRow]:
    return rows if order == "asc" else rows[::-1]


# Counted back from the newest, so that short runs meet what they made.
_which = st.integers(0, 6)
# Mostly new items, sometimes one that there was before, sometimes changed.
_items = st.lists(
    st.tuples(st.sampled_from([None, None, 0, 1, 4]), st.sampled_from([False, True])), max_size=3
)
_save = st.tuples(
    st.just("save"),
    st.none() | st.tuples(st.sampled_from(["resp", "resp", "conv"]), _which),
    _items,
    _items,
)
_delete = st.tuples(st.sampled_from(["delete_response", "delete_response", "delete_conversation"]), _which)
_change = st.one_of(
    st.tuples(st.just("create"), _items),
    st.tuples(st.just("add"), _which, _items),
    st.tuples(st.just("remove"), _which, _which),
    st.tuples(st.just("hear"), _which),
)
_steps = st.lists(st.one_of(_save, _save, _save, _delete, _change), min_size=8, max_size=40)


@pytest.fixture(scope="module", params=HOMES)
def pairs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, Iterator[Pair]]]:
    """Projects without end, in one store."""
    home = HOMES[request.param](tmp_path_factory.mktemp("model"))
    with asyncio.Runner() as runner:
        store = runner.run(home.open(time.time))
        yield runner, (Pair(store, f"project {n}") for n in count())
        runner.run(store.close())


@settings(max_examples=150, deadline=None)
@given(steps=_steps)
def test_the_store_keeps_what_a_naive_model_keeps(
    pairs: tuple[asyncio.Runner, Iterator[Pair]], steps: list[tuple[Any, ...]]
) -> None:
    runner, projects = pairs
    runner.run(follow(next(projects), steps))


async def follow(pair: Pair, steps: list[tuple[Any, ...]]) -> None:
    await pair.create([])
    for verb, *values in steps:
        await getattr(pair, verb)(*values)
        await pair.compare_rows()
    await pair.compare()
    await pair.delete_everything()
    await pair.compare()
    kept = [ended for ended in pair.model.ended.values() if not pair.model.kept.isdisjoint(ended)]
    assert await pair.count("threads") == len(kept)
