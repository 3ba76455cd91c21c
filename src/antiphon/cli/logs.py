"""The command `antiphon logs`: what became of responses, a line each, and what one of them was really sent.

It reads the store, so it works beside servers that run, wherever they do, and also when none does.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, fail
from antiphon.cli.stores import with_store

if TYPE_CHECKING:
    from antiphon.store.activity import ActivityEntry, ActivityQuery, ActivityRow
    from antiphon.store.recordings import Bodies, Mark, Recording
    from antiphon.store.store import Store

_LOOK = 1.0
"""Seconds between two looks for what is new."""
_LATE = 10.0
"""Seconds by which a row may come later than its response ended, by the clock of another machine too."""
_PAGE = 500
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TITLES = ("time", "status", "took", "first", "tokens", "model", "backend", "key", "response", "error")
_WIDTHS = (19, 10, 8, 8, 13, 24, 16, 12, 55, 0)


def logs(
    response: Annotated[
        str | None,
        typer.Argument(help="Of one response: what was sent to upstreams for it, and what came back."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what ends from now on.")] = False,
    limit: Annotated[int, typer.Option(min=0, max=_PAGE, help="How many, the newest last.")] = 20,
    model: Annotated[str | None, typer.Option(help="That was asked for.")] = None,
    status: Annotated[str | None, typer.Option(help="completed, failed, incomplete or cancelled.")] = None,
    backend: Annotated[str | None, typer.Option(help="That answered.")] = None,
    key: Annotated[str | None, typer.Option(help="The name of the key.")] = None,
    project: Annotated[str | None, typer.Option(help="Whose responses. [everybody's]")] = None,
    since: Annotated[
        str | None, typer.Option(help="Ended since: 30s, 10m, 2h, 3d ago, or 2026-01-31T12:00.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """What became of responses, a line each; or what one of them was sent, and what came back."""
    from antiphon.store.activity import ActivityQuery
    from antiphon.store.open import without_secrets

    settings = config.load(config_file, data_dir=data_dir)
    query = ActivityQuery(
        project=project,
        model=model,
        status=status,
        backend=backend,
        api_key=key,
        since=None if since is None else _time(since),
        limit=limit,
    )
    write = _write_json if as_json else _write_line
    try:
        if response is not None:
            with_store(settings, lambda store: _one(store, project, response, as_json))
        else:
            found = with_store(settings, lambda store: _list(store, query, follow, write))
            if not (found or as_json):
                print(f"There are none in {without_secrets(settings.store_url)}.")
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()


def _time(text: str) -> float:
    """Seconds since the epoch."""
    if found := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return time.time() - int(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        fail(f"--since '{text}' is no time: say 30s, 10m, 2h, 3d, or one such as 2026-01-31T12:00.")


# ---- a line for each ----------------------------------------------------------------------------------


async def _list(
    store: "Store", query: "ActivityQuery", follow: bool, write: "Callable[[ActivityRow], None]"
) -> bool:
    """Whether there are any, as far as was asked."""
    known = {entry.key for entry in await _latest(store, query)} if follow else set()
    entries = (await store.activity.page(query)).rows if query.limit else ()
    if write is _write_line and (entries or follow):
        _print_cells(_TITLES)
    for entry in reversed(entries):
        write(entry.row)
    if follow:
        async for entry in _following(store, query, known | {entry.key for entry in entries}):
            write(entry.row)
    return bool(entries) or not query.limit


async def _following(
    store: "Store", query: "ActivityQuery", known: set[int]
) -> "AsyncIterator[ActivityEntry]":
    """What ends from now on. `known`: the keys of what was there."""
    while True:
        await asyncio.sleep(_LOOK)
        latest = await _latest(store, query)
        for entry in reversed(latest):
            if entry.key not in known:
                yield entry
        known = {entry.key for entry in latest}


async def _latest(store: "Store", query: "ActivityQuery") -> "Sequence[ActivityEntry]":
    """What has ended by now and is not long ago, the newest first."""
    from msgspec.structs import replace

    query = replace(query, since=time.time() - _LATE, limit=_PAGE, after=None)
    entries: list[ActivityEntry] = []
    while True:
        page = await store.activity.page(query)
        entries += page.rows
        if not page.more:
            return entries
        query = replace(query, after=page.rows[-1].key)


def _write_json(row: "ActivityRow") -> None:
    import msgspec

    print(msgspec.json.encode(row).decode(), flush=True)


def _write_line(row: "ActivityRow") -> None:
    _print_cells(
        (
            datetime.fromtimestamp(row.ended_at).strftime("%Y-%m-%d %H:%M:%S"),
            row.status,
            _duration(row.milliseconds),
            _duration(row.first_milliseconds),
            f"{row.input_tokens} > {row.output_tokens}",
            row.model,
            row.backend or "-",
            row.api_key or "-",
            row.response_id,
            row.error_code or "",
        )
    )


def _print_cells(cells: Sequence[str]) -> None:
    """Nothing is cut off: what is cut off cannot be copied."""
    line = "  ".join(cell.ljust(width) for cell, width in zip(map(_safe, cells), _WIDTHS, strict=True))
    print(line.rstrip(), flush=True)


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def _safe(text: str) -> str:
    """Without control characters: what clients and servers wrote does not steer a terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


# ---- one response -----------------------------------------------------------------------------------


async def _one(store: "Store", project: str | None, response_id: str, as_json: bool) -> None:
    from antiphon.store.activity import ActivityQuery

    query = ActivityQuery(project=project, response_id=response_id, limit=1)
    rows = [entry.row for entry in (await store.activity.page(query)).rows]
    if not rows:
        fail(f"There is no response '{response_id}'. `antiphon logs` lists those that there are.")
    project = rows[0].project
    entries = await store.recordings.of(project, response_id)
    if not as_json:
        _print_cells(_TITLES)
        _write_line(rows[0])
        if not entries:
            print("\nWhat was sent for it is not recorded, or not any more: [dashboard] says what is kept.")
    for number, entry in enumerate(entries, 1):
        bodies = await store.recordings.bodies(project, response_id, entry.key)
        if as_json:
            _write_recording(entry.recording, bodies)
        else:
            print("", *_lines(number, entry.recording, bodies), sep="\n")
    if not as_json:
        for line in _timeline([entry.recording for entry in entries]):
            print(_safe(line))


def _write_recording(recording: "Recording", bodies: "Bodies | None") -> None:
    import msgspec

    members = msgspec.structs.asdict(recording)
    members["marks"] = [msgspec.structs.asdict(mark) for mark in recording.marks]
    members["request"] = None if bodies is None else bodies.request.decode(errors="replace")
    members["answer"] = None if bodies is None else bodies.answer.decode(errors="replace")
    print(msgspec.json.encode(members).decode())


def _lines(number: int, recording: "Recording", bodies: "Bodies | None") -> Iterator[str]:
    turn = f"turn {recording.turn}" if recording.turn else "before the first turn"
    yield _safe(
        f"#{number}, {turn}: {recording.method} {recording.url} ({recording.backend or 'no backend'})"
    )
    status = "no answer" if recording.status is None else f"HTTP {recording.status}"
    first = (
        "" if recording.first_milliseconds is None else f", after {_duration(recording.first_milliseconds)}"
    )
    yield _safe(f"{status}{first}; over after {_duration(recording.milliseconds)}")
    if recording.error:
        yield _safe(recording.error)
    yield from _body("sent", None if bodies is None else bodies.request, recording.request_bytes)
    yield from _body("answered", None if bodies is None else bodies.answer, recording.answer_bytes)


def _body(what: str, body: bytes | None, size: int) -> Iterator[str]:
    if body is None:
        yield f"\n{what}: {size} bytes, of which none are kept"
        return
    cut = f", of which {len(body)} are kept" if len(body) < size else ""
    yield f"\n{what}: {size} bytes{cut}"
    yield _safe(_pretty(body))


def _pretty(body: bytes) -> str:
    """JSON with its members below each other; all else as it came."""
    import msgspec

    try:
        return msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace").rstrip()


def _timeline(recordings: "Sequence[Recording]") -> Iterator[str]:
    marks: Sequence[Mark] = [mark for each in recordings for mark in each.marks]
    if marks:
        yield "\ntimeline, from the first request on:"
    for mark in marks:
        began = round((mark.at - recordings[0].started_at) * 1000)
        took = "not finished" if mark.milliseconds is None else _duration(mark.milliseconds)
        outcome = f", {mark.outcome}" if mark.outcome else ""
        yield f"  {began:>8} ms  {mark.what:<4}  {mark.name}  {mark.id}  {took}{outcome}"
