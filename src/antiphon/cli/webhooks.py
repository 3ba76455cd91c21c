"""The commands `antiphon webhooks`: the log of deliveries, sending one again, making a secret."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, fail
from antiphon.cli.stores import with_store

if TYPE_CHECKING:
    from antiphon.store.store import Store
    from antiphon.store.webhooks import DeliveryRow

T = TypeVar("T")

app = typer.Typer(help="The webhooks that were sent, and that wait.")

_TITLES = ("created", "status", "attempts", "endpoint", "event", "delivery", "response", "last error")


@app.callback(invoke_without_command=True)
def _list(
    context: typer.Context,
    failed: Annotated[bool, typer.Option("--failed", help="Those alone that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """The webhooks that were sent, and that wait, the newest first."""
    if context.invoked_subcommand is not None:
        return
    settings = config.load(config_file, data_dir=data_dir)
    rows = with_store(settings, lambda store: store.webhooks.latest(limit, "failed" if failed else None))
    if as_json:
        import msgspec

        sys.stdout.writelines(f"{msgspec.json.encode(row).decode()}\n" for row in rows)
    elif rows:
        _show(rows)
    else:
        print(f"{'No webhook was given up' if failed else 'No webhook was sent yet'} ({settings.store_url}).")


@app.command()
def redeliver(
    delivery: Annotated[str, typer.Argument(help="Its id, as the list has it.")],
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Has a webhook sent once more, by the server that runs or will run."""
    settings = config.load(config_file, data_dir=data_dir)

    async def again(store: "Store") -> "tuple[DeliveryRow | None, bool]":
        from antiphon.webhooks.redelivery import redeliver

        found = await store.webhooks.get(delivery)
        return found, found is not None and await redeliver(store, settings.webhooks, found)

    found, is_due = with_store(settings, again)
    if found is None:
        fail(f"There is no delivery '{delivery}'. `antiphon webhooks` lists those that there are.")
    if not is_due:
        fail(f"It was for the endpoint '{found.endpoint}', which is not there any more.")
    print(f"{delivery} is due for '{found.endpoint}': the server sends it within seconds.")


@app.command()
def secret() -> None:
    """Makes a secret, for this server and for whom it sends to."""
    from antiphon.webhooks.endpoints import new_secret

    print(new_secret())


def _show(rows: "Sequence[DeliveryRow]") -> None:
    """A table whose lines are as long as they are: what is cut off cannot be copied."""
    now = time.time()
    lines = [_TITLES, *(_cells(row, now) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: "DeliveryRow", now: float) -> tuple[str, ...]:
    created = datetime.fromtimestamp(row.created_at).strftime("%Y-%m-%d %H:%M:%S")
    status, attempts = _status(row, now), str(row.attempts)
    return created, status, attempts, row.endpoint, row.type, row.id, row.response_id, row.error or ""


def _status(row: "DeliveryRow", now: float) -> str:
    if row.next_at is None:
        return row.status
    seconds = max(row.next_at - now, 0.0)
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"pending, in {seconds / size:.0f} {unit}"
    return f"pending, in {seconds:.0f} s"
