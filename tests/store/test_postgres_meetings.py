"""Two rules on PostgreSQL meet at every place where they can: one stands still in front of each of its
statements in turn, while the other one runs as far as it gets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from msgspec import Struct
from tests.store.contract.kit import items, said, texts, turn

from antiphon.store import conversations, responses, run_log
from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import LostRun
from antiphon.store.postgres.database import open_postgres
from antiphon.store.responses import ResponseRow
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import AcceptedRun, accept
from antiphon.store.statements import Lock, Rows, Statement, Steps
from antiphon.store.store import Store

_GATE = 1

Rule = Callable[[str], Steps[Any]]
History = list[bytes]


class Meeting(Struct, frozen=True):
    """Two rules of a project in which `a`, `b` and `c` continue each other, `x` and `y` were said in a
    conversation `conv`, and a run `r` continues `a`."""

    one: Rule
    other: Rule
    histories: Mapping[str, Sequence[History | None]]
    """What each response may be read as in the end; None: it is not there."""


class Save:
    """A turn that is saved: by the rule, or as it is when it is asked for, which may be another way."""

    def __init__(self, row: ResponseRow) -> None:
        self.row = row

    def __call__(self, project: str) -> Steps[None]:
        return responses.save_all([(project, self.row, None)])


def save(name: str, after: str | None = None, conversation: str | None = None, *asks: str) -> Rule:
    return Save(turn(name, after, conversation=conversation, asks=items(*asks) if asks else None))


def delete(name: str) -> Rule:
    return lambda project: responses.delete(project, name)


def end_conversation(project: str) -> Steps[bool]:
    return conversations.delete(project, "conv", 1)


def add(*ids: str) -> Rule:
    return lambda project: conversations.add_items(project, "conv", items(*ids))


def take_out(name: str) -> Rule:
    return lambda project: conversations.delete_item(project, "conv", name)


def begin_run(name: str, after: str) -> Rule:
    run = AcceptedRun(turn(name, after, says=()), b"", [b"0"], streamed=True)
    return lambda project: accept(project, run, 1000, None, 1, 1)


def end_run(project: str) -> Steps[None]:
    found = yield Statement("SELECT key FROM runs WHERE project_id = $1", (project,))
    if not found:
        raise LostRun
    claim = Claim(found[0][0], project, "r", "me", None, True, False, b"", None, 1, 1, 1, None, False, 0)
    yield from run_log.finish(claim, RunEnd(Record(1, [b"1"], b""), b"{}", items("r.out")), 1)


ABC = said("a", "b", "c")
MEETINGS = {
    "the end is deleted and what is before it goes on": Meeting(
        delete("c"), save("d", "b"), {"d": [said("a", "b", "d")], "b": [said("a", "b")]}
    ),
    "the end is deleted and goes on": Meeting(
        delete("c"), save("d", "c"), {"d": [said("a", "b", "c", "d"), said("d")]}
    ),
    "the middle is deleted and goes on": Meeting(
        delete("b"), save("d", "b"), {"d": [said("a", "b", "d"), said("d")], "c": [ABC]}
    ),
    "two go on behind the end": Meeting(
        save("d", "c"), save("e", "c"), {"d": [[*ABC, *said("d")]], "e": [[*ABC, *said("e")]]}
    ),
    "two go on behind the middle": Meeting(
        save("d", "b"), save("e", "b"), {"d": [said("a", "b", "d")], "e": [said("a", "b", "e")]}
    ),
    "two are deleted": Meeting(delete("b"), delete("c"), {"a": [said("a")]}),
    "the same is deleted twice": Meeting(delete("c"), delete("c"), {"b": [said("a", "b")]}),
    "items are sent again and deleted": Meeting(
        delete("c"), save("d", None, None, "c.in"), {"d": [[*texts("c.in"), *texts("d.out")]]}
    ),
    "items are sent by two": Meeting(
        save("d", None, None, "i1", "i2"),
        save("e", None, None, "i2", "i1"),
        {"d": [[*texts("i1", "i2"), *texts("d.out")]], "e": [[*texts("i2", "i1"), *texts("e.out")]]},
    ),
    "a conversation ends and goes on": Meeting(
        end_conversation, save("z", None, "conv"), {"z": [said("x", "y", "z"), said("z")]}
    ),
    "a conversation goes on twice": Meeting(
        save("z", None, "conv"),
        save("w", None, "conv"),
        {
            "z": [said("x", "y", "z"), said("x", "y", "w", "z")],
            "w": [said("x", "y", "w"), said("x", "y", "z", "w")],
        },
    ),
    "a conversation ends and a response of it is deleted": Meeting(
        end_conversation, delete("y"), {"x": [said("x")]}
    ),
    "a conversation ends and is added to": Meeting(end_conversation, add("more"), {"x": [said("x")]}),
    "a conversation is added to twice": Meeting(add("m1", "m2"), add("n1"), {"x": [said("x")]}),
    "an item is taken out and its response is deleted": Meeting(
        take_out("y.in"), delete("y"), {"x": [said("x")]}
    ),
    "an item is taken out and the conversation goes on": Meeting(
        take_out("y.in"),
        save("z", None, "conv"),
        {"z": [said("x", "y", "z"), [*said("x"), *texts("y.out"), *said("z")]]},
    ),
    "a chain leaves a conversation that ends": Meeting(
        end_conversation, save("z", "y"), {"z": [said("x", "y", "z")]}
    ),
    "a run ends and what it continues is deleted": Meeting(end_run, delete("a"), {"r": [said("a", "r")]}),
    "a run ends and is deleted": Meeting(end_run, delete("r"), {"r": [None]}),
    "a run begins and what it continues is deleted": Meeting(
        begin_run("s", "c"), delete("c"), {"b": [said("a", "b")]}
    ),
    "a run ends and what it continues goes on": Meeting(
        end_run, save("d", "a"), {"r": [said("a", "r")], "d": [said("a", "d")]}
    ),
}


@pytest.fixture
async def stores(url: str) -> AsyncIterator[tuple[Store, Store, "psycopg.AsyncConnection[Any]"]]:
    one, other = await open_postgres(url), await open_postgres(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as gate:
        yield one, other, gate
    await one.close()
    await other.close()


@pytest.mark.parametrize("swapped", [False, True], ids=["one waits", "other waits"])
@pytest.mark.parametrize("name", MEETINGS)
async def test_what_meets_ends_as_if_one_had_come_behind_the_other(
    stores: tuple[Store, Store, "psycopg.AsyncConnection[Any]"], name: str, swapped: bool
) -> None:
    one, other, gate = stores
    meeting = MEETINGS[name]
    waits, comes = (meeting.other, meeting.one) if swapped else (meeting.one, meeting.other)
    place = 0
    met = True
    while met:
        project = f"p{place}"
        await prepare(one, project)
        met = await meet(one, other, gate, waits, comes, project, place)
        await check(one, project, meeting)
        place += 1
    assert place > 2


async def prepare(store: Store, project: str) -> None:
    for before, name in ((None, "a"), ("a", "b"), ("b", "c")):
        await store.responses.save(project, turn(name, before))
    await store.conversations.create(project, ConversationRow("conv", 1, b"{}"), ())
    for name in ("x", "y"):
        await store.responses.save(project, turn(name, conversation="conv"))
    run = AcceptedRun(turn("r", "a", says=()), b"", [b"0"], streamed=True)
    await store.runs.accept(project, run, 1000, None)
    await store.runs.claim("me", 60, (project, "r"))


async def meet(
    one: Store,
    other: Store,
    gate: "psycopg.AsyncConnection[Any]",
    waits: Rule,
    comes: Rule,
    project: str,
    place: int,
) -> bool:
    """Whether the first came to this place at all."""
    await gate.execute("SELECT pg_advisory_lock(%s)", (_GATE,))
    first = asyncio.ensure_future(outcome(one, standing(waits, project, place)))
    await until_waiting(gate, 1, first)
    met = not first.done()
    second = asyncio.ensure_future(arrive(other, comes, project))
    await until_waiting(gate, 2, second)
    await gate.execute("SELECT pg_advisory_unlock(%s)", (_GATE,))
    await asyncio.gather(first, second)
    return met


async def outcome(store: Store, rule: Callable[[], Steps[Any]]) -> None:
    with contextlib.suppress(LostRun):
        await store.write(rule)


async def arrive(store: Store, rule: Rule, project: str) -> None:
    if isinstance(rule, Save):
        await store.responses.save(project, rule.row)
    else:
        await outcome(store, lambda: rule(project))


def standing(rule: Rule, project: str, place: int) -> Callable[[], Steps[Any]]:
    """The rule, which waits at the gate in front of one of its statements."""

    def gated() -> Steps[Any]:
        steps, rows = rule(project), None
        for number in range(1_000_000):
            try:
                step = steps.send(rows)  # type: ignore[arg-type]
            except StopIteration as end:
                return end.value
            if number == place:
                yield Lock("SELECT pg_advisory_xact_lock_shared($1)", (_GATE,))
            rows = yield step
        raise AssertionError

    return gated


async def until_waiting(
    gate: "psycopg.AsyncConnection[Any]", many: int, task: "asyncio.Future[None]"
) -> None:
    """So many wait for a lock, or the task is done."""
    sql = """
        SELECT count(DISTINCT l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE NOT l.granted AND a.datname = current_database()"""
    async with asyncio.timeout(60):
        while not task.done():
            cursor = await gate.execute(sql)
            row = await cursor.fetchone()
            if row is not None and row[0] >= many:
                return


async def check(store: Store, project: str, meeting: Meeting) -> None:
    for name, allowed in meeting.histories.items():
        assert await store.responses.history(project, name) in allowed, name
    assert await store.write(torn, project) == []
    for name in "abcdexyzwrs":
        await store.responses.delete(project, name)
    await store.conversations.delete(project, "conv")
    await store.conversations.expire_items(1e12, 1000)
    assert await store.write(left, project) == [0, 0, 0, 0, 0]


def torn(project: str) -> Steps[Rows]:
    """Responses of which a part is missing."""
    sql = """
        SELECT r.id FROM responses AS r WHERE project_id = $1 AND r.stop - r.start <> (
            SELECT count(*) FROM links AS l
            WHERE l.thread = r.thread AND l.position >= r.start AND l.position < r.stop)"""
    return (yield Statement(sql, (project,)))


def left(project: str) -> Steps[list[int]]:
    found = []
    for table in ("responses", "conversations", "links", "items", "threads"):
        ((rows,),) = yield Statement(f"SELECT count(*) FROM {table} WHERE project_id = $1", (project,))
        found.append(rows)
    return found
