"""The commands `antiphon key`: keys that are made at run time, and lines for those of the configuration.

They work on the store, beside a server that runs or not: it takes notice within seconds.
"""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
import typer
from msgspec.structs import replace
from typer.core import TyperGroup

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, fail, make_data_dir
from antiphon.cli.stores import with_store
from antiphon.cli.tables import show
from antiphon.keys.secret import new_secret

if TYPE_CHECKING:
    from antiphon.keys.issuing import Issuer
    from antiphon.store.keys import KeyLimits, KeyRow

_UNITS = {"h": 3600, "d": 86400}
T = TypeVar("T")

_TITLES = ("id", "project", "name", "key", "kind", "limits", "state")


class _WithLines(TyperGroup):
    """`antiphon key PROJECT` is `antiphon key line PROJECT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["line", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WithLines, help="API keys: made, limited, revoked, and for the configuration.", no_args_is_help=True
)

Named = Annotated[str, typer.Argument(metavar="KEY", help="Its name or its id.")]
Models = Annotated[
    str | None, typer.Option(metavar="NAMES", help="The models that it may use: gpt-4o,llama-*. [all]")
]
Tiers = Annotated[
    str | None, typer.Option(metavar="NAMES", help="How it may be served: priority,default,flex. [all]")
]
Requests = Annotated[int | None, typer.Option(min=1, help="Requests that a model answers, each minute.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens of input and output, each minute.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Requests that are answered at once.")]
Budget = Annotated[int | None, typer.Option(min=1, help="Tokens for each --budget-window.")]
Window = Annotated[
    Literal["day", "month"] | None, typer.Option(metavar="WINDOW", help="day or month, of UTC. [month]")
]
Expires = Annotated[
    str | None, typer.Option(metavar="WHEN", help="When it ends: 12h, 30d or 2027-01-31, UTC. [never]")
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is called: who has it, or what for.")],
    project: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose it is: what is stored belongs to a project. [default]"),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It sees all projects, and may make keys.")] = False,
    models: Models = None,
    service_tiers: Tiers = None,
    requests_per_minute: Requests = None,
    tokens_per_minute: Tokens = None,
    concurrency: Concurrency = None,
    token_budget: Budget = None,
    budget_window: Window = None,
    expires: Expires = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Makes a key that is let in at once, and prints it: it is shown this once."""
    from antiphon.keys.issuing import shown
    from antiphon.store.open import without_secrets

    settings = config.load(config_file, data_dir=data_dir)
    limits = _changed(
        None,
        models=models,
        service_tiers=service_tiers,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrency=concurrency,
        token_budget=token_budget,
        budget_window=budget_window,
    )
    make_data_dir(settings)
    whose, ends = project or _only_project(settings), _ends(expires)
    new = _issuing(settings, lambda issuer: issuer.create(whose, name, limits, ends, admin))
    if as_json:
        print(msgspec.json.encode({"key": new.secret, **shown(new.row)}).decode())
        return
    print(f"The key '{name}' of project {whose} (it is shown this once):\n\n    {new.secret}\n")
    print(f"Servers on {without_secrets(settings.store_url)} let it in at once.")
    print(f"`antiphon key revoke {new.row.id}` takes it back.")


@app.command("list")
def list_keys(
    revoked: Annotated[bool, typer.Option("--all", help="Those too that are let in no more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Lists the keys that were made at run time, the newest first."""
    from antiphon.keys.issuing import shown

    settings = config.load(config_file, data_dir=data_dir)
    rows = [row for row in _issuing(settings, lambda issuer: issuer.listed()) if revoked or _is_let_in(row)]
    if as_json:
        for row in rows:
            print(msgspec.json.encode(shown(row)).decode())
    elif rows:
        show(_TITLES, [_cells(row) for row in rows], False)
    else:
        print("There are none. `antiphon key create NAME` makes one.")


@app.command()
def limit(
    key: Named,
    models: Models = None,
    service_tiers: Tiers = None,
    requests_per_minute: Requests = None,
    tokens_per_minute: Tokens = None,
    concurrency: Concurrency = None,
    token_budget: Budget = None,
    budget_window: Window = None,
    expires: Expires = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Without all that it had; else the other limits stay.")
    ] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Changes what a key may; within seconds that holds on every server."""
    settings = config.load(config_file, data_dir=data_dir)
    given = {
        "models": models,
        "service_tiers": service_tiers,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrency": concurrency,
        "token_budget": token_budget,
        "budget_window": budget_window,
    }
    ends = _ends(expires)

    async def change(issuer: "Issuer") -> "KeyRow":
        row = await issuer.found(key)
        limits = _changed(None if anew else row.limits, **given)
        await issuer.limit(row.id, limits, ends if anew or ends is not None else row.expires_at)
        return await issuer.found(row.id)

    row = _issuing(settings, change)
    print(f"The key '{row.name}' of project {row.project}: {_limits(row) or 'without limits'}.")


@app.command()
def revoke(key: Named, data_dir: DataDir = None, config_file: ConfigFile = None) -> None:
    """Takes a key back: within seconds no server lets it in."""
    settings = config.load(config_file, data_dir=data_dir)
    row = _issuing(settings, lambda issuer: issuer.revoke(key))
    print(f"The key '{row.name}' of project {row.project} is let in no more.")


@app.command()
def line(
    project: Annotated[str, typer.Argument(help="Whose key: what is stored belongs to a project.")],
) -> None:
    """Makes a key, and the line of the configuration that lets it in."""
    check_project(project)
    secret = new_secret()
    print(f"The key of project {project} (it is shown this once):\n\n    {secret}\n")
    print(f'For {config.FILE_NAME}:\n\n    [server.keys]\n    {project} = "{config.hash_key(secret)}"')


def check_project(project: str) -> None:
    """Fails for a name that TOML cannot have as it is."""
    if not project.replace("-", "").replace("_", "").isalnum() or not project.isascii():
        fail("A project's name is made of letters, digits, - and _.")


# ---- what is asked for ------------------------------------------------------------------------------


def _issuing(settings: config.Config, do: "Callable[[Issuer], Awaitable[T]]") -> T:
    from antiphon.keys.issuing import BadKey, Issuer

    try:
        return with_store(settings, lambda store: do(Issuer(store.keys, None)))
    except BadKey as error:
        fail(str(error))


def _only_project(settings: config.Config) -> str:
    """Fails when the configuration has several."""
    known = list(dict.fromkeys(settings.projects_by_key().values())) or ["default"]
    if len(known) > 1:
        fail(f"Whose key? Say --project, with one of {', '.join(known)} or a new one.")
    return known[0]


def _changed(limits: "KeyLimits | None", **given: Any) -> "KeyLimits":
    """The limits, with those that were given."""
    from antiphon.store.keys import KeyLimits

    changes = {name: value for name, value in given.items() if value is not None}
    for name in ("models", "service_tiers"):
        if name in changes:
            changes[name] = tuple(filter(None, (each.strip() for each in changes[name].split(","))))
    return replace(limits or KeyLimits(), **changes)


def _ends(expires: str | None) -> int | None:
    """When that is: seconds since the epoch. Fails when it is no time."""
    if expires is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})([hd])", expires):
        return int(time.time()) + int(found[1]) * _UNITS[found[2]]
    try:
        return int(datetime.fromisoformat(expires).replace(tzinfo=UTC).timestamp())
    except ValueError:
        fail(f"--expires is a time such as 12h, 30d or 2027-01-31, not '{expires}'.")


# ---- what is shown ----------------------------------------------------------------------------------


def _is_let_in(row: "KeyRow") -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > time.time())


def _cells(row: "KeyRow") -> tuple[str, ...]:
    kind = "admin" if row.admin else ""
    return row.id, row.project, row.name, row.hint, kind, _limits(row), _state(row)


def _limits(row: "KeyRow") -> str:
    limits = row.limits
    said = {
        "requests/min": limits.requests_per_minute,
        "tokens/min": limits.tokens_per_minute,
        "at once": limits.concurrency,
        f"tokens/{limits.budget_window}": limits.token_budget,
    }
    words = [f"{value} {unit}" for unit, value in said.items() if value is not None]
    lists = {"models": limits.models, "tiers": limits.service_tiers}
    return ", ".join([*words, *(f"{name} {' '.join(each)}" for name, each in lists.items() if each)])


def _state(row: "KeyRow") -> str:
    if row.revoked_at is not None:
        return f"revoked {_day(row.revoked_at)}"
    if row.expires_at is None:
        return "let in"
    return f"{'until' if _is_let_in(row) else 'expired'} {_day(row.expires_at)}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
