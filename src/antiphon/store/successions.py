"""Responses that follow one another of themselves: what was said to a response while it was made begins its
successor.

With the end of the one its successor is kept as it begins, in one transaction. So whatever ends a process,
what was said is in the store with the successor, or the response did not end because of it. When the
successor ends, it is kept in the place of its beginning; where nobody finishes it, the beginning stays.
"""

from collections.abc import Sequence
from itertools import repeat

from msgspec import Struct

from antiphon.store import activity, responses, threads
from antiphon.store.activity import ActivityRow
from antiphon.store.database import Database
from antiphon.store.inline_data import InlineData, Marked
from antiphon.store.items import marked
from antiphon.store.responses import ResponseRow, with_items
from antiphon.store.statements import Statement, Steps, one
from antiphon.store.threads import LINKED, Segment


class Succession(Struct, frozen=True, kw_only=True):
    """A response that ended, beside others of its kind."""

    row: ResponseRow
    ended: ActivityRow
    begun: bool
    """Whether it succeeds another one, so that its beginning is kept."""
    successor: ResponseRow | None
    """What follows it, as it begins: input, and no output."""


class Successions:
    """Those of all projects."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data

    async def save(self, project: str, ended: Succession) -> None:
        """Keep a response that ended, and the beginning of its successor, as `Responses.save` does: both, or
        neither. Where the beginning of the response itself was deleted meanwhile, it is not kept."""
        own = [*ended.row.input, *ended.row.output]
        following = ended.successor.input if ended.successor is not None else ()

        async def write(jsons: Sequence[Marked]) -> None:
            row = with_items(ended.row, marked(own, jsons[: len(own)]))
            successor = ended.successor
            if successor is not None:
                successor = with_items(successor, marked(following, jsons[len(own) :]))
            whole = Succession(row=row, ended=ended.ended, begun=ended.begun, successor=successor)
            await self._database.write(save, project, whole)

        await self._data.storing(project, [item.json for item in (*own, *following)], write)


def save(project: str, ended: Succession) -> Steps[None]:
    if ended.begun:
        yield from _finish(project, ended.row)
    else:
        yield from responses.save(project, ended.row)
    if ended.successor is not None:
        yield from responses.save(project, ended.successor)
    yield from activity.record_all([ended.ended])


def _finish(project: str, row: ResponseRow) -> Steps[None]:
    """Put the output behind the input. Where somebody continued the beginning meanwhile, both go into a fork:
    what he continued stays as it was."""
    sql = """
        SELECT r.thread, r.start, r.stop, t.next_position = r.stop
        FROM responses AS r JOIN threads AS t ON t.id = r.thread
        WHERE r.project_id = $1 AND r.id = $2
        /*! FOR NO KEY UPDATE */"""
    found = yield from one(Statement(sql, (project, row.id)))
    if found is None:
        return
    thread, start, stop, open_end = found
    end, items = Segment(thread, stop), row.output
    if not open_end:
        items = (*(yield from responses.own_input(project, row.id)), *row.output)
        end = Segment((yield from threads.fork(project, thread, start)), start)
    yield from threads.append(project, end, items, repeat(LINKED))
    sql = "UPDATE responses SET thread = $1, stop = $2, json = $3 WHERE project_id = $4 AND id = $5"
    yield Statement(sql, (end.thread, end.below + len(items), row.json, project, row.id))
