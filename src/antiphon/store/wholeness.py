"""Whether all that a store refers to is there: after it was restored, and whenever somebody wants to know.

Nothing is changed, and servers may go on meanwhile. What is wrong is counted, with a few examples.
"""

import hashlib
from collections.abc import AsyncIterator, Callable

import msgspec
from msgspec import Struct, field

from antiphon.store.blobs import Blobs, pieces
from antiphon.store.statements import Own, Row, Rows, Statement, Steps
from antiphon.store.store import Store
from antiphon.stream.built_item import BrokenLog
from antiphon.stream.fold import Fold

_EXAMPLES = 3
_ROWS = 200


Opens = Callable[[str, str], bool]
"""Whether what a project has sealed opens with the key that there is."""


class Count(Struct):
    """How many were looked at, and what is wrong with some."""

    looked_at: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, fault: str | None) -> None:
        self.looked_at += 1
        if fault is not None:
            self.blame(fault)

    def blame(self, fault: str) -> None:
        self.wrong += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(fault)


# ---- rows -------------------------------------------------------------------------------------------


async def tables(store: Store) -> Count:
    """Wrong: what the database itself finds at its tables."""
    count = Count(looked_at=len(await store.read_long(_names)))
    for (fault,) in await store.read_long(_faults):
        count.blame(fault)
    return count


# ---- blobs ------------------------------------------------------------------------------------------


async def blobs(store: Store, home: Blobs) -> Count:
    """Blobs that rows name. Wrong: those that are not there."""
    count, after = Count(), ""
    while names := await store.files.blobs(after):
        for name in names:
            count.add(None if await _is_there(store, home, name) else name)
        after = names[-1]
    return count


async def contents(store: Store, home: Blobs) -> Count:
    """The bytes of all blobs whose SHA-256 is known. Wrong: those that have another one, or are not to be
    read."""
    count, after = Count(), ""
    while digests := await store.files.digests(after):
        for after, sha256 in digests.items():
            count.add(await _changed(home, after, sha256))
    return count


async def _changed(home: Blobs, name: str, sha256: bytes) -> str | None:
    """None also for one that is not there: `blobs` tells that."""
    digest = hashlib.sha256()
    try:
        async for piece in pieces(home, name):
            digest.update(piece)
    except FileNotFoundError:
        return None
    except OSError as fault:
        return f"{name}: {fault.strerror or fault}"
    return None if digest.digest() == sha256 else name


async def _is_there(store: Store, home: Blobs, name: str) -> bool:
    """What was deleted meanwhile is nowhere, and named by no row."""
    return await home.has(name) or not await store.files.known([name])


# ---- responses --------------------------------------------------------------------------------------


async def responses(store: Store) -> Count:
    """Wrong: those whose items, or whose log, do not give them."""
    count = Count()
    async for _key, project, response_id, background in _rows(store, _responses):
        count.add(await _fault(store, project, response_id, bool(background)))
    return count


async def _fault(store: Store, project: str, response_id: str, background: bool) -> str | None:
    """None also for one that was deleted meanwhile. The log comes first: one that has ended stays as it is,
    and so does its response."""
    try:
        folded = await _folded(store, project, response_id) if background else None
        stored = await store.responses.get(project, response_id)
        if stored is None:
            return None
        output = [msgspec.json.decode(item) for item in stored.output]
    except (BrokenLog, msgspec.DecodeError, OSError) as fault:
        return f"{response_id}: {fault}"
    if folded is not None and [item["id"] for item in folded] != [item["id"] for item in output]:
        return f"{response_id}: its log gives other items than it has"
    return None


async def _folded(store: Store, project: str, response_id: str) -> list[dict[str, str]] | None:
    """The items that a log gives; None where there is none (any more), or it has not ended."""
    folded, ended = Fold(), False
    while found := await store.runs.events_after(project, response_id, folded.next - 1):
        if not found.events:
            break
        ended = found.ended
        for event in found.events:
            folded.add(msgspec.json.decode(event))
    if found is None or not ended:
        return None
    output: list[dict[str, str]] = folded.result()["output"]
    return output


# ---- what is sealed ---------------------------------------------------------------------------------


async def sealed(store: Store, opens_run: Opens, opens_secret: Opens) -> Count:
    """Runs that wait, and secrets of webhook endpoints. Wrong: those that were sealed with another key."""
    count = Count()
    for rule, opens in ((_waiting_runs, opens_run), (_secrets, opens_secret)):
        async for _key, project, name, text in _rows(store, rule):
            is_ours = opens(project, text.decode() if isinstance(text, bytes) else text)
            count.add(None if is_ours else name)
    return count


# ---- their rules ------------------------------------------------------------------------------------


def _names() -> Steps[Rows]:
    return (yield Own("tables", ()))


def _faults() -> Steps[Rows]:
    return (yield Own("faults", ()))


async def _rows(store: Store, rule: Callable[[int], Steps[Rows]]) -> AsyncIterator[Row]:
    """All rows of a rule that gives some of them behind a key, which they begin with."""
    after = 0
    while rows := await store.read_long(rule, after):
        for row in rows:
            yield row
        after = rows[-1][0]


def _responses(after: int) -> Steps[Rows]:
    sql = f"""
        SELECT r.key, r.project_id, r.id, u.key IS NOT NULL
        FROM responses AS r LEFT JOIN runs AS u ON u.project_id = r.project_id AND u.id = r.id
        WHERE r.key > $1 ORDER BY r.key LIMIT {_ROWS}"""
    return (yield Statement(sql, (after,)))


def _waiting_runs(after: int) -> Steps[Rows]:
    sql = f"""
        SELECT key, project_id, id, request FROM runs
        WHERE key > $1 AND status <> 'ended' AND request IS NOT NULL ORDER BY key LIMIT {_ROWS}"""
    return (yield Statement(sql, (after,)))


def _secrets(after: int) -> Steps[Rows]:
    sql = (
        f"SELECT key, project_id, id, secret FROM webhook_endpoints WHERE key > $1 ORDER BY key LIMIT {_ROWS}"
    )
    return (yield Statement(sql, (after,)))
