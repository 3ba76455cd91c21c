"""Responses and logs as they lie, for those who look at them: long base64 is not read for that.

In its place stands a *link*, `inline:` and the SHA-256 of the data, by which it can be had alone. Whoever
writes a link himself gets no more by it than what his project has.
"""

import re
from collections import Counter
from collections.abc import Sequence

from antiphon.store import conversations, responses, run_log
from antiphon.store.database import Database
from antiphon.store.inline_data import MARK, InlineData
from antiphon.store.items import ItemRow
from antiphon.store.paging import Page, PageQuery
from antiphon.store.responses import StoredResponse
from antiphon.store.run_log import LoggedEvents
from antiphon.store.statements import Row, Statement, Steps, one, rows_named

FOLLOWING = 20
"""Forks that are found."""
LINK = "inline:"
_LINK = LINK.encode()
_links = re.compile(rb"inline:([0-9a-f]{64})(?![0-9a-f])")


class Outline:
    """What is seen of the store. What is not there is None."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data

    async def response(self, project: str, response_id: str) -> StoredResponse | None:
        """The response, also one that is still being made."""
        found = await self._database.read_long(responses.load, project, response_id)
        return found and StoredResponse(found.json, _linked(found.output))

    async def input_items(self, project: str, response_id: str, limit: int) -> Page[ItemRow] | None:
        """What the response read, the newest first."""
        query = PageQuery(limit=limit)
        found = await self._database.read_long(responses.input_items, project, response_id, query)
        return found and _linked_page(found)

    async def conversation_items(
        self, project: str, conversation_id: str, query: PageQuery
    ) -> Page[ItemRow] | None:
        """Raises UnknownCursor when `query.after` is not in the conversation."""
        found = await self._database.read_long(conversations.list_items, project, conversation_id, query)
        return found and _linked_page(found)

    async def own_input(self, project: str, response_id: str) -> Sequence[bytes]:
        """The items that the response brought itself."""
        found = await self._database.read_long(responses.own_input, project, response_id)
        return _linked([row.json for row in found])

    async def progress(self, project: str, response_id: str, after: int) -> LoggedEvents | None:
        """Events of its run behind the number `after` (-1: from the first), some at a time. None: there is no
        run, or its log was nobody's to read, and it has ended."""
        found = await self._database.read_long(run_log.progress, project, response_id, after)
        return found and LoggedEvents(_linked(found.events), found.ended)

    async def following(self, project: str, response_id: str) -> Sequence[str]:
        """The ids of the responses that continue this one, or come next in its conversation; some of them."""
        return await self._database.read_long(following, project, response_id)

    async def data(self, project: str, sha256: str) -> bytes | None:
        """What a link leads to: its SHA-256, in hexadecimal digits."""
        return await self._data.read(project, bytes.fromhex(sha256))

    async def whole(self, project: str, json: bytes, most: int) -> bytes | None:
        """JSON with data in place of its links. None: that would be more than so many bytes."""
        named = Counter(_links.findall(json))
        sizes = await self._database.read_long(
            sizes_of, project, [bytes.fromhex(name.decode()) for name in named]
        )
        more = sum(size * 4 // 3 * named[sha256.hex().encode()] for sha256, size in sizes)
        if len(json) + more > most:
            return None
        return (await self._data.filled(project, [_links.sub(MARK + rb"\g<1>", json)]))[0]


def following(project: str, response_id: str) -> Steps[list[str]]:
    sql = "SELECT thread, stop FROM responses WHERE project_id = $1 AND id = $2"
    place = yield from one(Statement(sql, (project, response_id)))
    if place is None:
        return []
    sql = """
        SELECT id FROM responses WHERE thread = $1 AND start >= $2 AND id <> $3
        ORDER BY start, key LIMIT 1"""
    next_one = yield Statement(sql, (*place, response_id))
    sql = f"""
        SELECT r.id FROM threads AS t
        JOIN responses AS r ON r.thread = t.id AND r.start = t.parent_position
        WHERE t.parent = $1 AND t.parent_position = $2 ORDER BY t.id LIMIT {FOLLOWING}"""
    return [found for (found,) in (*next_one, *(yield Statement(sql, place)))]


def _linked_page(found: Page[ItemRow]) -> Page[ItemRow]:
    return Page([ItemRow(row.id, _link(row.json)) for row in found.rows], found.more)


def sizes_of(project: str, wanted: Sequence[bytes]) -> Steps[list[Row]]:
    """The SHA-256 of data, and how many bytes it has."""
    select = "SELECT sha256, size FROM inline_data WHERE project_id = $1 AND sha256"
    return (yield from rows_named(select, project, wanted))


def _linked(jsons: Sequence[bytes]) -> list[bytes]:
    return [_link(json) for json in jsons]


def _link(json: bytes) -> bytes:
    return json.replace(MARK, _LINK)
