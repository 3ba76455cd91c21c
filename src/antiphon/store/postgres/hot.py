"""What is asked for most, as one statement each: one round trip, one transaction.

A *form* stands for a rule. It does what the rule does or, where something is in the way, nothing: then the
rule itself is carried out. It answers with the numbers (from 0) of those arguments for which it was done.

What makes them right is what makes the rules right (`transactions`): a response that is continued is held, a
thread is appended to by a guarded statement, and a log by who owns the run. An item that is there already is
linked; where another one has its id, a link would have no item, which the schema refuses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.store import activity, responses, run_log
from antiphon.store.activity import ActivityRow
from antiphon.store.responses import Saved
from antiphon.store.run_log import Claim, Record
from antiphon.store.statements import Statement, Steps


class Form(Struct, frozen=True):
    """A rule as one statement."""

    statement: Callable[[Sequence[Any]], Statement]
    rule: Callable[[Any], Steps[None]]
    """The rule, for one argument."""
    most: int = 64
    """Arguments of one statement."""


def form_of(rule: Callable[..., Steps[Any]], arguments: tuple[Any, ...]) -> tuple[Form, Any] | None:
    """The form of what is asked for, and its argument. None: it has no form."""
    if rule is run_log.record:
        return RECORD, arguments
    if rule is responses.save_all:
        return _form_of_save(arguments[0])
    return None


def _form_of_save(saved: Saved) -> tuple[Form, Any] | None:
    row = saved[1]
    if row.conversation_id is not None:
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

# `r` is what is to be saved: number, project, id, created_at, thread, start, middle, stop, json. The items
# and the activity come as $1 to $5.
_SAVE = f"""
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
        WHERE EXISTS (SELECT 1 FROM r)),
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


def _places(row: responses.ResponseRow) -> tuple[str, int, int, int, bytes]:
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
        SELECT m.number FROM m JOIN runs ON runs.key = m.key AND runs.owner = m.owner AND runs.next = m.first
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


SAVE = Form(_fresh, lambda saved: responses.save_all((saved,)))
APPEND = Form(_append, lambda saved: responses.save_all((saved,)), most=1)
RECORD = Form(_record, lambda recorded: run_log.record(*recorded))
