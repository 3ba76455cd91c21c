"""What is asked for most, as one statement each: one round trip, one transaction.

A *form* stands for a rule. It does what the rule does or, where something is in the way, nothing: then the
rule itself is carried out. It answers with the numbers (from 0) of those arguments for which it was done.

What makes them right is what makes the rules right (`transactions`): a response that is continued is held, a
thread is appended to by a guarded statement, and a log by who owns the run. An item that is there already is
linked; where another one has its id, a link would have no item, which the schema refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.store import activity, inline_data, responses, run_log
from antiphon.store.activity import ActivityRow
from antiphon.store.responses import ResponseRow, Saved, StoredResponse
from antiphon.store.run_log import Claim, LoggedEvents, Record, RunEnd
from antiphon.store.statements import Statement, Steps


class Form(Struct, frozen=True):
    """A rule as one statement."""

    statement: Callable[[Sequence[Any]], Statement]
    rule: Callable[[Any], Steps[None]]
    """The rule, for one argument."""
    most: int = 64
    """Arguments of one statement."""


def form_of(rule: Callable[..., Steps[Any]], arguments: tuple[Any, ...]) -> tuple[Form, Any] | None:
    """The form of what is asked for, and its argument. None: it has no form, as has nothing with data in it
    that lies beside the rows."""
    if rule is run_log.record:
        return None if inline_data.marked_in(arguments[1].events) else (RECORD, arguments)
    if rule is run_log.finish:
        return _form_of_end(*arguments)
    if rule is responses.save_all:
        return _form_of_save(arguments[0])
    return None


def _form_of_end(claim: Claim, end: RunEnd, now: float) -> tuple[Form, Any] | None:
    jsons = (*end.record.events, *(item.json for item in end.output))
    if end.deliveries or end.settled or inline_data.marked_in(jsons):
        return None
    return FINISH, (claim, end, now)


def _form_of_save(saved: Saved) -> tuple[Form, Any] | None:
    row = saved[1]
    jsons = (item.json for item in (*row.input, *row.output))
    if row.conversation_id is not None or inline_data.marked_in(jsons):
        return None
    return (SAVE if row.previous_response_id is None else APPEND), saved


# ---- responses --------------------------------------------------------------------------------------

_TYPES = (
    "text text bigint float8 text text text text bigint bigint bigint bigint bigint bigint text text text"
    " smallint smallint"
)
_ACTIVITY = ", ".join(
    f"{name} {kind}" for name, kind in zip(activity.COLUMNS.split(", "), _TYPES.split(), strict=True)
)

# The items and the activity come as $1 to $5. `r` says where items go: number, project, thread, start.
_KEEP = f"""
    i AS MATERIALIZED (
        SELECT nextval('items_key_seq') AS key, r.project, r.thread, r.start + i.position AS position,
            i.id, i.json
        FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[]), CAST($3 AS text[]), CAST($4 AS bytea[]))
            AS i (number, position, id, json) JOIN r ON r.number = i.number),
    known AS MATERIALIZED (
        SELECT i.key, e.key AS item FROM i
        JOIN items AS e ON e.project_id = i.project AND e.id = i.id AND e.json = i.json),
    made AS (
        INSERT INTO items (key, project_id, id, json)
        SELECT key, project, id, json FROM i WHERE key NOT IN (SELECT key FROM known)
        ON CONFLICT DO NOTHING RETURNING key),
    linked AS (
        INSERT INTO links (thread, position, item, state, project_id)
        SELECT i.thread, i.position, coalesce(known.item, made.key), 0, i.project
        FROM i LEFT JOIN known ON known.key = i.key LEFT JOIN made ON made.key = i.key),
    noted AS (
        INSERT INTO activity ({activity.COLUMNS})
        SELECT * FROM json_to_recordset(CAST($5 AS json)) AS a ({_ACTIVITY})
        WHERE EXISTS (SELECT 1 FROM r))"""

# Here `r` has also what else is to be kept of a response.
_SAVE = f"""
    {_KEEP},
    stored AS (
        INSERT INTO responses (project_id, id, created_at, thread, start, middle, stop, json)
        SELECT project, id, created_at, thread, start, middle, stop, json FROM r)
    SELECT number FROM r"""

_FRESH = f"""
    WITH r AS MATERIALIZED (
        SELECT number - 1 AS number, project, id, created_at, nextval('threads_id_seq') AS thread, 0 AS start,
            middle, stop, json
        FROM unnest(CAST($6 AS text[]), CAST($7 AS text[]), CAST($8 AS bigint[]), CAST($9 AS bigint[]),
            CAST($10 AS bigint[]), CAST($11 AS bytea[]))
            WITH ORDINALITY AS r (project, id, created_at, middle, stop, json, number)),
    begun AS (
        INSERT INTO threads (id, project_id, next_position) SELECT thread, project, stop FROM r),
    {_SAVE}"""

_APPEND = f"""
    WITH before AS MATERIALIZED (
        SELECT thread, stop FROM responses WHERE project_id = $6 AND id = $12 FOR KEY SHARE),
    appended AS (
        UPDATE threads AS t SET next_position = before.stop + $10 FROM before
        WHERE t.id = before.thread AND t.next_position = before.stop AND t.conversation_id IS NULL
        RETURNING t.id),
    forked AS (
        INSERT INTO threads (project_id, parent, parent_position, next_position)
        SELECT $6, thread, stop, stop + $10 FROM before WHERE NOT EXISTS (SELECT 1 FROM appended)
        RETURNING id),
    r AS MATERIALIZED (
        SELECT 0 AS number, $6 AS project, $7 AS id, $8 AS created_at, place.id AS thread,
            before.stop AS start, before.stop + $9 AS middle, before.stop + $10 AS stop, $11 AS json
        FROM before, (SELECT id FROM appended UNION ALL SELECT id FROM forked) AS place),
    {_SAVE}"""


def _fresh(some: Sequence[Saved]) -> Statement:
    rows = [(project, *_places(row)) for project, row, _ in some]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Statement(_FRESH, (*_contents(some), *columns))


def _append(some: Sequence[Saved]) -> Statement:
    ((project, row, _),) = some
    return Statement(_APPEND, (*_contents(some), project, *_places(row), row.previous_response_id))


def _places(row: ResponseRow) -> tuple[str, int, int, int, bytes]:
    """Id, created_at, and where the output begins and ends when the input begins at 0."""
    middle = len(row.input)
    return row.id, row.created_at, middle, middle + len(row.output), row.json


def _contents(some: Sequence[Saved]) -> tuple[list[int], list[int], list[str], list[bytes], str]:
    """The items, by the number of their response and their place in it, and the activity."""
    numbers: list[int] = []
    positions: list[int] = []
    ids: list[str] = []
    jsons: list[bytes] = []
    for number, (_, row, _) in enumerate(some):
        for position, item in enumerate((*row.input, *row.output)):
            numbers.append(number)
            positions.append(position)
            ids.append(item.id)
            jsons.append(item.json)
    ended = [_activity(ended) for _, _, ended in some if ended is not None]
    return numbers, positions, ids, jsons, msgspec.json.encode(ended).decode()


_COLUMNS = activity.COLUMNS.split(", ")


def _activity(row: ActivityRow) -> dict[str, Any]:
    return dict(zip(_COLUMNS, activity.values_of(row), strict=True))


# ---- logs -------------------------------------------------------------------------------------------

# The runs are held in the order of their keys, as by who renews them (`runs.renew`).
_RECORD = """
    WITH m AS MATERIALIZED (
        SELECT * FROM unnest(CAST($1 AS bigint[]), CAST($2 AS text[]), CAST($3 AS bigint[]),
            CAST($4 AS bigint[]), CAST($5 AS bytea[]), CAST($6 AS bytea[]), CAST($7 AS bytea[]),
            CAST($8 AS text[]), CAST($9 AS text[])) WITH ORDINALITY
            AS m (key, owner, first, after, progress, events, response, project, id, number)),
    held AS MATERIALIZED (
        SELECT m.number FROM m JOIN runs ON runs.key = m.key AND runs.owner = m.owner AND runs.id = m.id
            AND runs.next = m.first
        ORDER BY runs.key FOR NO KEY UPDATE OF runs),
    advanced AS (
        UPDATE runs SET next = m.after, progress = m.progress FROM m JOIN held ON held.number = m.number
        WHERE runs.key = m.key
        RETURNING m.number),
    logged AS (
        INSERT INTO events (run, last, json)
        SELECT key, after - 1, events FROM m JOIN advanced ON advanced.number = m.number
        WHERE events IS NOT NULL),
    changed AS (
        UPDATE responses SET json = m.response FROM m JOIN advanced ON advanced.number = m.number
        WHERE m.response IS NOT NULL AND project_id = m.project AND responses.id = m.id)
    SELECT number - 1 FROM advanced"""


def _record(some: Sequence[tuple[Claim, Record]]) -> Statement:
    rows = [
        (
            claim.key,
            claim.owner,
            more.first,
            more.after,
            more.progress,
            b"\n".join(more.events) if more.events else None,
            more.response,
            claim.project,
            claim.id,
        )
        for claim, more in some
    ]
    return Statement(_RECORD, tuple(list(column) for column in zip(*rows, strict=True)))


# The response stands where it was accepted, with nothing behind it as a rule, and grows by its output. If it
# does not, its end would be NULL, which the schema refuses.
_FINISH = f"""
    WITH ended AS (
        UPDATE runs
        SET status = 'ended', next = $6, ended_at = $7, owner = NULL, request = NULL, progress = NULL
        WHERE key = $8 AND owner = $9 AND id = $12 AND next = $10 AND conversation_id IS NULL
            AND ($15 = 1 OR NOT EXISTS (SELECT 1 FROM inline_data_uses WHERE run = runs.key))
        RETURNING key),
    r AS MATERIALIZED (
        SELECT 0 AS number, project_id AS project, id, thread, stop AS start FROM responses
        WHERE project_id = $11 AND id = $12 AND EXISTS (SELECT 1 FROM ended)),
    grown AS (
        UPDATE threads AS t SET next_position = r.start + $13 FROM r
        WHERE t.id = r.thread AND t.next_position = r.start AND t.conversation_id IS NULL
        RETURNING r.start + $13 AS stop),
    {_KEEP},
    logged AS (
        INSERT INTO events (run, last, json)
        SELECT key, $6 - 1, CAST($14 AS bytea) FROM ended WHERE $15 = 1 AND $14 IS NOT NULL),
    unlogged AS (
        DELETE FROM events USING ended WHERE run = ended.key AND $15 = 0),
    stored AS (
        UPDATE responses SET json = $16, stop = (SELECT stop FROM grown) FROM r
        WHERE responses.project_id = r.project AND responses.id = r.id)
    SELECT number FROM r"""


def _finish(some: Sequence[tuple[Claim, RunEnd, float]]) -> Statement:
    ((claim, end, now),) = some
    more = end.record
    output = ResponseRow(claim.id, 0, end.response, (), end.output)
    values = (
        more.after,
        now,
        claim.key,
        claim.owner,
        more.first,
        claim.project,
        claim.id,
        len(end.output),
        b"\n".join(more.events) if more.events else None,
        int(claim.streamed),
        end.response,
    )
    return Statement(_FINISH, (*_contents([(claim.project, output, end.activity)]), *values))


FINISH = Form(_finish, lambda ended: run_log.finish(*ended), most=1)
SAVE = Form(_fresh, lambda saved: responses.save_all((saved,)))
APPEND = Form(_append, lambda saved: responses.save_all((saved,)), most=1)
RECORD = Form(_record, lambda recorded: run_log.record(*recorded))


# ---- reading ----------------------------------------------------------------------------------------

_LOAD = """
    SELECT CASE WHEN l.position IS NULL OR l.position = r.middle THEN r.json END, i.json
    FROM responses AS r
    LEFT JOIN links AS l ON l.thread = r.thread AND l.position >= r.middle AND l.position < r.stop
    LEFT JOIN items AS i ON i.key = l.item
    WHERE r.project_id = $1 AND r.id = $2 ORDER BY l.position"""

# The first row says that there is such a response.
_HISTORY = """
    WITH RECURSIVE path (thread, below) AS (
        SELECT thread, stop FROM responses AS r
        WHERE project_id = $1 AND id = $2 AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')
        UNION ALL
        SELECT t.parent, t.parent_position FROM path JOIN threads AS t ON t.id = path.thread
        WHERE t.parent IS NOT NULL)
    SELECT -1 AS position, NULL AS json WHERE EXISTS (SELECT 1 FROM path)
    UNION ALL
    SELECT l.position, i.json
    FROM path JOIN links AS l ON l.thread = path.thread AND l.position < path.below AND l.state <> 2
    JOIN items AS i ON i.key = l.item
    ORDER BY position"""

_EVENTS = f"""
    SELECT r.status = 'ended', e.last, e.json
    FROM runs AS r LEFT JOIN LATERAL (
        SELECT last, json FROM events WHERE run = r.key AND last > $3 ORDER BY last LIMIT {run_log.ROWS}
    ) AS e ON true
    WHERE r.project_id = $1 AND r.id = $2 AND r.streamed = 1 ORDER BY e.last"""


def _load(project: str, response_id: str) -> Steps[StoredResponse | None]:
    rows = yield Statement(_LOAD, (project, response_id))
    if not rows:
        return None
    return StoredResponse(json=rows[0][0], output=[item for _, item in rows if item is not None])


def _history(project: str, response_id: str) -> Steps[list[bytes] | None]:
    rows = yield Statement(_HISTORY, (project, response_id))
    return [json for _, json in rows[1:]] if rows else None


def _events_after(project: str, response_id: str, after: int) -> Steps[LoggedEvents | None]:
    rows = yield Statement(_EVENTS, (project, response_id, after))
    if not rows:
        return None
    stretches = [(last, json) for _, last, json in rows if json is not None]
    return LoggedEvents(run_log.lines_behind(after, stretches), bool(rows[0][0]))


READS: Mapping[Callable[..., Steps[Any]], Callable[..., Steps[Any]]] = {
    responses.load: _load,
    responses.history: _history,
    run_log.events_after: _events_after,
}
"""Rules that only read, as one statement each."""
