"""Activity: written with what it is about, listed the newest first, and kept as long as it is."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from tests.store.contract.homes import Home
from tests.store.contract.kit import DAY, Clock, P, items, rows_left, turn

from antiphon.store.activity import ActivityQuery, ActivityRow, UsageRow
from antiphon.store.errors import AlreadyExists, LostRun, UnknownCursor
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store

ROW = ActivityRow(
    project=P,
    response_id="r",
    created_at=1000,
    ended_at=1002.5,
    model="gpt-5",
    backend="upstream",
    status="failed",
    error_code="server_error",
    input_tokens=10,
    cached_tokens=4,
    output_tokens=20,
    reasoning_tokens=8,
    milliseconds=2500,
    first_milliseconds=300,
    tools=["mcp_call", "function_call"],
    conversation_id="conv",
    api_key="team",
    stored=False,
    background=True,
)
PLAIN = ActivityRow(project=P, response_id="p", created_at=1, ended_at=2.0, model="m", status="completed")


async def listed(store: Store, **query: object) -> list[str]:
    """The ids of the responses."""
    page = await store.activity.page(ActivityQuery(**query))  # type: ignore[arg-type]
    return [entry.row.response_id for entry in page.rows]


async def save(store: Store, *rows: ActivityRow) -> None:
    for row in rows:
        await store.responses.save(row.project, turn(row.response_id), row)


def ended(*names: str, **members: object) -> list[ActivityRow]:
    """Rows that end one second after another."""
    return [replace(PLAIN, response_id=name, ended_at=100.0 + n, **members) for n, name in enumerate(names)]


async def test_a_row_is_read_back_as_it_was_written(store: Store) -> None:
    await save(store, ROW, PLAIN)
    page = await store.activity.page(ActivityQuery())
    assert [entry.row for entry in page.rows] == [ROW, replace(PLAIN, tools=[])]
    assert not page.more


async def test_a_response_that_is_not_saved_has_no_activity(store: Store) -> None:
    await save(store, ROW)
    with pytest.raises(AlreadyExists):
        await save(store, ROW)
    assert await listed(store) == ["r"]


async def test_a_run_and_its_activity_end_together(store: Store) -> None:
    await store.runs.accept(P, AcceptedRun(turn("r", says=()), b"", [b"0"], streamed=True), queue=9)
    claim = await store.runs.claim("me", 60)
    assert claim is not None
    end = RunEnd(Record(1, [b"1"], b""), b"{}", items("r.out"), activity=ROW)
    with pytest.raises(LostRun):
        await store.runs.finish(replace(claim, owner="you"), end)
    assert await listed(store) == []

    await store.runs.finish(claim, end)

    assert await listed(store) == ["r"]


async def test_what_is_noted_is_written_with_what_comes_next(store: Store) -> None:
    for row in ended("a", "b"):
        store.activity.note(row)
    await store.responses.save(P, turn("r"))
    assert await listed(store) == ["b", "a"]


async def test_what_is_noted_is_written_in_any_case(home: Home, store: Store, clock: Clock) -> None:
    other = await home.open(clock)
    other.activity.note(ROW)
    await other.close()
    assert await listed(store) == ["r"]


async def test_what_is_noted_does_not_wait_for_somebody_to_write(store: Store) -> None:
    store.activity.note(ROW)
    async with asyncio.timeout(60):
        while not await listed(store):
            pass


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "hgfedcba"),
        ({"project": P}, "hfedcba"),
        ({"project": "other"}, "g"),
        ({"status": "failed"}, "b"),
        ({"status": "completed", "project": P}, "hfedca"),
        ({"tool": "mcp_call"}, "h"),
        ({"tool": "mcp"}, ""),
        ({"tool": "%"}, ""),
        ({"tool": "mcp-call"}, ""),
        ({"tool": "mcp\\_call"}, ""),
        ({"model": "gpt-5"}, "c"),
        ({"backend": "small"}, "d"),
        ({"conversation_id": "conv"}, "e"),
        ({"api_key": "team"}, "f"),
        ({"since": 102.0, "until": 105.0}, "edc"),
        ({"project": P, "since": 103.0, "status": "completed"}, "hfed"),
        ({"project": "nobody's"}, ""),
    ],
)
async def test_the_list_can_be_narrowed(store: Store, query: dict[str, object], expected: str) -> None:
    rows = ended(*"abcdefgh")
    changes: Sequence[dict[str, object]] = (
        {},
        {"status": "failed"},
        {"model": "gpt-5"},
        {"backend": "small"},
        {"conversation_id": "conv"},
        {"api_key": "team"},
        {"project": "other"},
        {"tools": ["web_search_call", "mcp_call"]},
    )
    await save(store, *(replace(row, **change) for row, change in zip(rows, changes, strict=True)))
    assert "".join(await listed(store, **query)) == expected


@pytest.mark.parametrize("project", [P, None])
async def test_the_list_is_paged_without_gaps_though_ends_coincide(store: Store, project: str | None) -> None:
    names = [f"r{n}" for n in range(10)]
    await save(store, *(replace(row, ended_at=float(n // 4)) for n, row in enumerate(ended(*names))))
    found: list[str] = []
    after, more = None, True
    while more:
        page = await store.activity.page(ActivityQuery(project=project, limit=3, after=after))
        found += [entry.row.response_id for entry in page.rows]
        after, more = page.rows[-1].key, page.more
    assert found == names[::-1]
    with pytest.raises(UnknownCursor):
        await store.activity.page(ActivityQuery(after=10**9))


async def test_activity_outlives_its_response_until_its_own_days_are_over(store: Store, clock: Clock) -> None:
    old, new = ended("old", "new")
    await save(store, replace(old, ended_at=clock.now), replace(new, ended_at=clock.now + DAY))
    for name in ("old", "new"):
        await store.responses.delete(P, name)
    assert await listed(store) == ["new", "old"]

    clock.pass_days(90.5)
    await Retention(retention_rules(store, 30, 24, 30, 90), clock, pause=0).sweep()

    assert await listed(store) == ["new"]
    assert await rows_left(store) == {"activity": 1}


async def test_usage_is_added_up_by_day_model_and_key(store: Store) -> None:
    use = replace(PLAIN, model="m", input_tokens=10, cached_tokens=4, output_tokens=3)
    day = 86_400.0
    rows = [
        replace(use, ended_at=day * 5),
        replace(use, ended_at=day * 6 - 0.25, status="failed"),
        replace(use, ended_at=day * 6 - 0.25, api_key="team"),
        replace(use, ended_at=day * 6, model="n", status="incomplete"),
        replace(use, ended_at=day * 5 - 0.25),
        replace(use, ended_at=day * 5, project="other"),
    ]
    await save(store, *(replace(row, response_id=f"r{n}") for n, row in enumerate(rows)))

    found = await store.activity.usage(P, 5)

    def used(times: int, **members: object) -> UsageRow:
        tokens = {"input_tokens": 10 * times, "cached_tokens": 4 * times, "output_tokens": 3 * times}
        plain = {"day": 5, "model": "m", "api_key": None, "requests": times, "failures": 0}
        return UsageRow(**{**plain, **tokens, **members})  # type: ignore[arg-type]

    assert found.rows[0] == used(2, failures=1)
    assert {row.day: row for row in found.rows[1:]} == {
        5: used(1, api_key="team"),
        6: used(1, day=6, model="n"),
    }
    assert not found.more
