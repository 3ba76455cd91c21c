"""Items: stored once, as JSON bytes in output form."""

from collections.abc import Sequence

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.inline_data import DataRow, InlineData, Marked
from antiphon.store.paging import Page
from antiphon.store.statements import Statement, Steps, one


class ItemRow(Struct, frozen=True):
    """An item in output form."""

    id: str
    json: bytes
    data: Sequence[DataRow] = ()
    """What came in with it."""


def marked(rows: Sequence[ItemRow], jsons: Sequence[Marked]) -> Sequence[ItemRow]:
    """The rows as they are written."""
    return [ItemRow(row.id, each.json, each.data) for row, each in zip(rows, jsons, strict=True)]


async def filled(data: InlineData, project: str, page: Page[ItemRow] | None) -> Page[ItemRow] | None:
    """The page as it is shown."""
    if page is None:
        return None
    jsons = await data.filled(project, [row.json for row in page.rows])
    return Page([ItemRow(row.id, json) for row, json in zip(page.rows, jsons, strict=True)], page.more)


class Items:
    """The items of all responses and conversations."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data

    async def get(self, project: str, item_id: str) -> bytes | None:
        """An item by id, for an `item_reference`; the newest, when clients gave the id to several."""
        found = await self._database.read(newest, project, item_id)
        return None if found is None else (await self._data.filled(project, [found]))[0]

    async def before(self, project: str, item_id: str, most: int) -> Sequence[bytes]:
        """The items right before one, where it was first linked, the nearest first; at most so many."""
        found = await self._database.read(right_before, project, item_id, most)
        return await self._data.filled(project, found)


def right_before(project: str, item_id: str, most: int) -> Steps[list[bytes]]:
    sql = """
        SELECT l.thread, l.position
        FROM items AS i /*ordered*/ JOIN links AS l ON l.item = i.key
        WHERE i.project_id = $1 AND i.id = $2 ORDER BY l.thread LIMIT 1"""
    place = yield from one(Statement(sql, (project, item_id)))
    if place is None:
        return []
    thread, position = place
    sql = """
        SELECT i.json
        FROM links AS l /*ordered*/ JOIN items AS i ON i.key = l.item
        WHERE l.thread = $1 AND l.position < $2 AND l.position >= $3
        ORDER BY l.position DESC"""
    return [json for (json,) in (yield Statement(sql, (thread, position, position - most)))]


def newest(project: str, item_id: str) -> Steps[bytes | None]:
    """The JSON of the newest item that goes by this id."""
    sql = "SELECT json FROM items WHERE project_id = $1 AND id = $2 ORDER BY version DESC LIMIT 1"
    found = yield from one(Statement(sql, (project, item_id)))
    return found[0] if found is not None else None
