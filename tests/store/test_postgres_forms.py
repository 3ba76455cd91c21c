"""What is asked for most is one statement on PostgreSQL, which leaves exactly what its rule leaves."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.postgres import shared_postgres
from tests.store.contract.homes import template
from tests.store.contract.kit import P, item, items, said, turn

from antiphon.store import responses, run_log
from antiphon.store.activity import ActivityRow
from antiphon.store.items import ItemRow
from antiphon.store.postgres import hot, transactions
from antiphon.store.postgres.connections import Connections
from antiphon.store.postgres.database import open_postgres
from antiphon.store.responses import ResponseRow
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.statements import Rows, Statement, Steps
from antiphon.store.store import Store


def ended(project: str, name: str) -> ActivityRow:
    return ActivityRow(
        project=project,
        response_id=name,
        created_at=1,
        ended_at=1.5,
        model="m",
        status="completed",
        first_milliseconds=3,
        tools=("web_search", "function"),
        input_tokens=7,
    )


# ---- one statement ----------------------------------------------------------------------------------


async def test_each_form_does_what_it_is_for(url: str) -> None:
    """Its rule would do it too, so nobody would notice."""
    store, connections = await open_postgres(url), Connections(url, 1)
    fresh = [(P, turn(f"r{n}"), ended(P, f"r{n}")) for n in range(3)]
    assert await transactions.single(connections, hot.SAVE.statement(fresh)) == [(0,), (1,), (2,)]
    for name in ("s", "fork"):
        following = [(P, turn(name, "r0"), ended(P, name))]
        assert await transactions.single(connections, hot.APPEND.statement(following)) == [(0,)]
    claims = [await accepted(store, P, turn(f"run{n}", "r1", says=()), streamed=True) for n in range(3)]
    records = [(claim, Record(1, [b"1", b"2"], b"p", b'{"changed":1}')) for claim in claims]
    done = await transactions.single(connections, hot.RECORD.statement(records))
    assert sorted(done) == [(0,), (1,), (2,)]
    end = RunEnd(Record(3, [b"3"], b""), b"{}", items("run0.out"), activity=ended(P, "run0"))
    assert await transactions.single(connections, hot.FINISH.statement([(claims[0], end, 5.0)])) == [(0,)]

    assert await store.responses.history(P, "fork") == said("r0", "fork")
    assert await store.responses.history(P, "run0") == said("r1", "run0")
    await connections.close()
    await store.close()


async def accepted(store: Store, project: str, row: ResponseRow, streamed: bool) -> Claim:
    await store.runs.accept(project, AcceptedRun(row, b"sealed", [b"0"], streamed), 10_000)
    claim = await store.runs.claim("me", 60, (project, row.id))
    assert claim is not None
    return claim


async def test_records_of_many_runs_beside_one_that_is_lost_are_kept(url: str) -> None:
    store = await open_postgres(url)
    claims = [await accepted(store, P, turn(f"r{n}", says=()), streamed=True) for n in range(5)]
    await store.responses.delete(P, "r2")

    outcomes = await asyncio.gather(
        *(store.runs.record(claim, Record(1, [b"1"], b"")) for claim in claims), return_exceptions=True
    )

    assert [type(outcome).__name__ for outcome in outcomes] == [
        "NoneType",
        "NoneType",
        "LostRun",
        "NoneType",
        "NoneType",
    ]
    for n in (0, 1, 3, 4):
        found = await store.runs.events_after(P, f"r{n}", 0)
        assert found is not None
        assert found.events == [b"1"]
    await store.close()


# ---- what is left -----------------------------------------------------------------------------------


class Ways:
    """The same is asked for in two projects: in one by forms, in the other by the rules."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self.projects = (f"forms {number}", f"rules {number}")
        self._names: list[str] = []
        self._items = 0

    def _row(self, after: int | None, inputs: Sequence[int | None], *, says: bool = True) -> ResponseRow:
        name = f"r{len(self._names)}"
        before = self._names[after % len(self._names)] if after is not None and self._names else None
        self._names.append(name)
        output = [item(f"{name}.out")] if says else ()
        return turn(name, before, asks=[self._item(choice) for choice in inputs], says=output)

    def _item(self, again: int | None) -> ItemRow:
        """A new one, one that was sent before, or another one with its id."""
        if again is None or not self._items:
            self._items += 1
            return item(f"i{self._items}")
        return item(f"i{again % self._items + 1}", "changed" if again % 3 == 0 else None)

    async def save(self, after: int | None, inputs: Sequence[int | None], noted: bool) -> None:
        row = self._row(after, inputs)
        for project, by_rule in zip(self.projects, (False, True), strict=True):
            activity = ended(project, row.id) if noted else None
            if by_rule:
                await self._store.write(lambda saved: responses.save_all([saved]), (project, row, activity))
            else:
                await self._store.responses.save(project, row, activity)

    async def delete(self, which: int) -> None:
        if self._names:
            for project in self.projects:
                await self._store.responses.delete(project, self._names[which % len(self._names)])

    async def run(
        self, after: int | None, inputs: Sequence[int | None], records: int, streamed: bool, deleted: bool
    ) -> None:
        row = self._row(after, inputs, says=False)
        for project, by_rule in zip(self.projects, (False, True), strict=True):
            claim = await accepted(self._store, project, row, streamed)
            for number in range(records):
                more = Record(1 + number, [b"%d" % number], b"p", b"changed" if number % 2 else None)
                await self._record(claim, more, by_rule)
                await self._record(claim, more, by_rule)  # again: it is there
            if deleted and row.previous_response_id:
                await self._store.responses.delete(project, row.previous_response_id)
            last = Record(1 + records, [b"end"], b"")
            end = RunEnd(last, b"done", items(f"{row.id}.out"), activity=ended(project, row.id))
            if by_rule:
                await self._store.write(lambda *ended: run_log.finish(*ended), claim, end, 5.0)
            else:
                await self._store._database.write(run_log.finish, claim, end, 5.0)

    async def _record(self, claim: Claim, more: Record, by_rule: bool) -> None:
        if by_rule:
            await self._store.write(lambda *recorded: run_log.record(*recorded), claim, more)
        else:
            await self._store.runs.record(claim, more)

    async def compare(self) -> None:
        forms, rules = [await self._store.write(what_is_kept, project) for project in self.projects]
        assert forms == rules
        for name in self._names:
            histories = [await self._store.responses.history(project, name) for project in self.projects]
            assert histories[0] == histories[1]


_KEPT = {
    "items": "SELECT id, json FROM items WHERE project_id = $1",
    "runs": """
        SELECT id, created_at, previous_id, streamed, status, request, progress, next, owner, ended_at
        FROM runs WHERE project_id = $1""",
    "events": """
        SELECT r.id, e.last, e.json FROM events AS e JOIN runs AS r ON r.key = e.run WHERE project_id = $1""",
    "activity": """
        SELECT response_id, created_at, ended_at, model, backend, status, error_code, input_tokens,
            cached_tokens, first_milliseconds, tools, stored, background
        FROM activity WHERE project_id = $1""",
    "responses": """
        SELECT r.id, r.created_at, r.stop - r.start, r.middle - r.start, r.json FROM responses AS r
        WHERE project_id = $1""",
    "links": """
        SELECT r.id, l.position - r.start, i.id, i.json, l.state
        FROM responses AS r JOIN links AS l ON l.thread = r.thread AND l.position >= r.start
            AND l.position < r.stop JOIN items AS i ON i.key = l.item
        WHERE r.project_id = $1""",
    "count of links": "SELECT count(*) FROM links WHERE project_id = $1",
}


def what_is_kept(project: str) -> Steps[dict[str, Rows]]:
    found = {}
    for what, sql in _KEPT.items():
        found[what] = sorted((yield Statement(sql, (project,))), key=repr)
    return found


_after = st.none() | st.integers(0, 5)
_inputs = st.lists(st.none() | st.integers(0, 8), max_size=3)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), _after, _inputs, st.booleans()),
        st.tuples(st.just("save"), _after, _inputs, st.booleans()),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("run"), _after, _inputs, st.integers(0, 3), st.booleans(), st.booleans()),
    ),
    min_size=2,
    max_size=10,
)


@pytest.fixture(scope="module")
def ways() -> Iterator[tuple[asyncio.Runner, Iterator[Ways]]]:
    url = shared_postgres().url(shared_postgres().create(template()))
    with asyncio.Runner() as runner:

        async def opened() -> Store:
            return await open_postgres(url, clock=time.time)

        store = runner.run(opened())
        yield runner, (Ways(store, number) for number in count())
        runner.run(store.close())


@settings(max_examples=60, deadline=None)
@given(steps=_steps)
def test_forms_leave_what_rules_leave(
    ways: tuple[asyncio.Runner, Iterator[Ways]], steps: list[tuple[Any, ...]]
) -> None:
    runner, pairs = ways
    runner.run(follow(next(pairs), steps))


async def follow(pair: Ways, steps: list[tuple[Any, ...]]) -> None:
    for verb, *values in steps:
        await getattr(pair, verb)(*values)
    await pair.compare()
