"""What the tests of the store are written with: rows by name, and what is left of them."""

from collections.abc import Sequence

from tests.store.contract.homes import Home

from antiphon.store.conversations import ConversationRow
from antiphon.store.items import ItemRow
from antiphon.store.paging import Page
from antiphon.store.responses import ResponseRow
from antiphon.store.statements import Statement, Steps
from antiphon.store.store import Store

P = "project"
DAY = 86_400.0
TABLES = ("responses", "conversations", "links", "items", "threads")


class Clock:
    """The time, as a test sets it: seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += days * DAY


async def spoken(store: Store, conversation_id: str, project: str = P) -> Sequence[bytes] | None:
    """The items of a conversation."""
    found = await store.conversations.history(project, conversation_id)
    return None if found is None else found.rows


def set_back(conversation_id: str, position: int) -> Steps[None]:
    """The conversation is as a backup has it that was made when it ended there."""
    thread = "(SELECT id FROM threads WHERE conversation_id = $1)"
    values = conversation_id, position
    yield Statement(f"DELETE FROM responses WHERE thread = {thread} AND start >= $2", values)
    yield Statement(f"DELETE FROM links WHERE thread = {thread} AND position >= $2", values)
    yield Statement("DELETE FROM items WHERE key NOT IN (SELECT item FROM links)")
    yield Statement("UPDATE threads SET next_position = $2 WHERE conversation_id = $1", values)


def item(item_id: str, text: str | None = None) -> ItemRow:
    return ItemRow(id=item_id, json=f'{{"id":"{item_id}","text":"{text or item_id}"}}'.encode())


def items(*ids: str) -> list[ItemRow]:
    return [item(item_id) for item_id in ids]


def texts(*ids: str) -> list[bytes]:
    return [row.json for row in items(*ids)]


def turn(
    name: str,
    after: str | None = None,
    *,
    conversation: str | None = None,
    asks: Sequence[ItemRow] | None = None,
    says: Sequence[ItemRow] | None = None,
    created_at: float = 1,
) -> ResponseRow:
    """A response `name` with the input `name.in` and the output `name.out`."""
    return ResponseRow(
        id=name,
        created_at=int(created_at),
        json=f'{{"id":"{name}"}}'.encode(),
        input=items(f"{name}.in") if asks is None else asks,
        output=items(f"{name}.out") if says is None else says,
        previous_response_id=after,
        conversation_id=conversation,
    )


def said(*names: str) -> list[bytes]:
    """The items of whole turns."""
    return texts(*(f"{name}.{side}" for name in names for side in ("in", "out")))


async def talk(store: Store, *names: str) -> None:
    """A chain of turns."""
    for before, name in zip([None, *names], names, strict=False):
        await store.responses.save(P, turn(name, before))


async def begin(store: Store, name: str, *ids: str, created_at: float = 1) -> None:
    """A conversation."""
    await store.conversations.create(P, ConversationRow(name, int(created_at), b"{}"), items(*ids))


def ids(page: Page[ItemRow] | None) -> list[str]:
    assert page is not None
    return [row.id for row in page.rows]


async def counts(store: Store, *more: str) -> dict[str, int]:
    """How many rows there are: what is not needed any more must not be kept."""
    return await store.write(_count, (*TABLES, *more))


def _count(tables: Sequence[str]) -> Steps[dict[str, int]]:
    found = {}
    for table in tables:
        ((rows,),) = yield Statement(f"SELECT count(*) FROM {table}")
        found[table] = rows
    return found


async def pass_seconds(home: Home, clock: Clock, seconds: float) -> None:
    """In which nobody who does work is heard of."""
    clock.now += seconds
    await home.be_silent(seconds)


async def rows_left(store: Store) -> dict[str, int]:
    """The tables that are not empty."""
    found = await counts(store, "webhook_deliveries", "runs", "events", "activity", "work")
    return {table: rows for table, rows in found.items() if rows}


async def rows_of(store: Store, *tables: str) -> dict[str, int]:
    """Those of the tables that are not empty, with how many rows they have."""
    return {table: rows for table, rows in (await store.write(_count, tables)).items() if rows}
