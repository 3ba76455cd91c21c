"""The commands and their options: `antiphon serve`, `pull`, `doctor`. What they do is in `serving` and
`doctor`; `antiphon webhooks`, `antiphon files` and `antiphon sandbox` are in modules of those names,
`antiphon key` in `keys`, `antiphon search` in `searches`, `antiphon logs` in `logs`, `antiphon migrate` and
`copy` in `homes`, `antiphon backup`, `restore` and `check` in `backups`, `antiphon init` in `init`."""

import asyncio
import contextlib
import difflib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import msgspec
import typer
from msgspec.structs import replace

from antiphon import __version__, config, serving
from antiphon.cli import backups, files, homes, init, keys, logs, sandbox, searches, webhooks
from antiphon.cli.options import ConfigFile, DataDir, fail, is_url, make_data_dir

if TYPE_CHECKING:
    from antiphon.engines import Wanted

app = typer.Typer(
    name="antiphon",
    help="OpenAI's Responses and Conversations APIs on top of any model.",
    add_completion=False,
    rich_markup_mode="markdown",  # that of rich would leave out whatever stands in brackets
)
app.add_typer(keys.app, name="key")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(files.app, name="files")
app.add_typer(sandbox.app, name="sandbox")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"antiphon {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on. [8000]")] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    upstream: Annotated[str | None, typer.Option(help="URL of a Chat Completions server, with /v1.")] = None,
    upstream_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the upstream's key.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that runs here: hf:OWNER/REPO:QUANT, FILE.gguf, or one that was pulled. With "
            "--upstream, its model for names that it may not know. [SmolLM2-135M-Instruct]"
        ),
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the upstream speaks. [found by asking it]")
    ] = None,
    web_search: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE", help="Search the web: duckduckgo, brave, tavily, exa, serper, mcp:NAME."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Server processes. [1]")] = None,
    role: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="server: no background work; worker: nothing else; both. [both]"),
    ] = None,
) -> None:
    """Starts the server: on the embedded model, or in front of the model servers that you have."""
    signal.signal(signal.SIGTERM, serving.stop)
    settings = config.load(config_file, data_dir=data_dir)
    settings = _with_server(settings, host=host, port=port, workers=workers, role=_role(role))
    settings = _with_backend(settings, upstream, upstream_key_env, model, dialect)
    settings = _with_web_search(settings, web_search)
    _check_reach(settings.server)
    _check_backends(settings)
    _check_web_search(settings)
    _check_webhooks(settings)
    _check_secrets(settings)
    make_data_dir(settings)
    with contextlib.suppress(KeyboardInterrupt), serving.listen(settings.server) as listener:
        settings = _with_server(settings, port=listener.getsockname()[1])
        serving.check_data(settings)
        with _embedded(settings) as (settings, models):
            serving.run(settings, listener, models)


@contextlib.contextmanager
def _embedded(settings: config.Config) -> Iterator[tuple[config.Config, "dict[str, Wanted]"]]:
    """While the block runs, so do the embedded models that the settings want."""
    if not any(backend.type == "llama" for backend in settings.backends.values()):
        yield settings, {}
        return
    from antiphon import engines

    with _in_words():
        models = engines.wanted(settings)
    with engines.running(settings, models) as settings:
        yield settings, models


@app.command()
def pull(
    model: Annotated[
        str | None,
        typer.Argument(
            help="hf:OWNER/REPO, hf:OWNER/REPO:QUANT, hf:OWNER/REPO:FILE.gguf or FILE.gguf. "
            "[SmolLM2-135M-Instruct]"
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the models that are there.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Fetches a model that can run here, if it is not there yet; a download that was cut off goes on."""
    settings = config.load(config_file, data_dir=data_dir)
    make_data_dir(settings)
    with _in_words():
        if listed:
            _list_models(Path(settings.data_dir))
        else:
            _pull(model or "", Path(settings.data_dir))


def _pull(model: str, data_dir: Path) -> None:
    from antiphon import engines
    from antiphon.weights.reference import OnDisk, parse

    reference = parse(model)
    if isinstance(reference, OnDisk):
        print(engines.pull(reference, data_dir))
    else:
        print(engines.fetched(reference, data_dir))


def _list_models(data_dir: Path) -> None:
    from antiphon.weights import library
    from antiphon.weights.files import in_words

    for model in library.kept(data_dir):
        print(f"{model.reference}  {in_words(model.size)}  {model.path}")


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """What is wrong with weights is one sentence."""
    from antiphon.weights.errors import WeightsError

    try:
        yield
    except WeightsError as error:
        fail(str(error))


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Send each backend a few tiny requests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    upstream: Annotated[str | None, typer.Option(help="A server to look at, as for `serve`.")] = None,
    upstream_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the upstream's key.")
    ] = None,
) -> None:
    """Shows what works here, what does not, and what to type. Exit code 1 when something fails."""
    settings = config.load(config_file, data_dir=data_dir)
    if upstream or upstream_key_env:
        settings = _with_backend(settings, upstream, upstream_key_env, None, None)
    if not asyncio.run(_examine(settings, deep, as_json)):
        raise SystemExit(1)


async def _examine(settings: config.Config, deep: bool, as_json: bool) -> bool:
    """Whether nothing failed."""
    from antiphon.doctor import examine

    marks = {"ok": "ok    ", "warning": "warn  ", "failed": "FAILED"}
    well = True
    async for finding in examine(settings, deep):
        well = well and finding.state != "failed"
        if as_json:
            print(msgspec.json.encode(finding).decode(), flush=True)
            continue
        print(f"{marks[finding.state]}  {finding.subject}: {finding.words}", flush=True)
        if finding.hint:
            print(f"        {finding.hint}", flush=True)
    return well


app.command()(init.init)
app.command()(logs.logs)
app.command()(searches.search)
app.command()(backups.backup)
app.command()(backups.restore)
app.command()(backups.check)
app.command()(homes.migrate)
app.command()(homes.copy)


# ---- from options to settings ---------------------------------------------------------------------------


def _role(given: str | None) -> str | None:
    if given is not None and given not in get_args(config.Role):
        fail(f"--role is one of {', '.join(get_args(config.Role))}.")
    return given


def _with_server(settings: config.Config, **given: Any) -> config.Config:
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(settings, server=replace(settings.server, **changes))


def _with_backend(
    settings: config.Config,
    upstream: str | None,
    key_env: str | None,
    model: str | None,
    dialect: str | None,
) -> config.Config:
    """The backend that the options name becomes the default; without any backend, the embedded model does."""
    if upstream is None:
        if key_env or dialect:
            fail("--upstream-key-env and --dialect say something of --upstream, which is missing.")
        if settings.backends and model is None:
            return settings
        name, given = "embedded", config.BackendSettings(type="llama", model=model, default=True)
    else:
        if not is_url(upstream):
            fail(f"--upstream is a URL, such as http://127.0.0.1:11434/v1, and not '{upstream}'.")
        name, given = (
            "upstream",
            config.BackendSettings(
                base_url=upstream, api_key_env=key_env, default=model or True, dialect=dialect
            ),
        )
    backends = {each: replace(backend, default=False) for each, backend in settings.backends.items()}
    settings = replace(settings, backends={**backends, name: given})
    config.check(settings, "the command line")
    return settings


def _with_web_search(settings: config.Config, engine: str | None) -> config.Config:
    if engine is None:
        return settings
    tools = replace(settings.tools, web_search=replace(settings.tools.web_search, engine=engine))
    settings = replace(settings, tools=tools)
    config.check(settings, "the command line")
    return settings


def _check_reach(server: config.Server) -> None:
    """Nothing is opened to the network by oversight. A worker answers nothing that needs a key."""
    if server.needs_key or server.allow_anybody or server.role == "worker":
        return
    if not config.is_loopback(server.host):
        fail(
            f"Everyone who reaches {server.host or 'this machine'} could use the server, since there are no "
            "API keys. `antiphon key PROJECT` makes one for [server.keys]; require_keys = true of [server] "
            "takes those of `antiphon key create`; allow_anybody = true lets everyone in."
        )


def _check_backends(settings: config.Config) -> None:
    """What only the running program knows: which variables are set, which dialects are known, who answers
    to which name."""
    from antiphon.api.backend_setup import routed
    from antiphon.backends.dialects import DIALECTS

    for name, backend in settings.backends.items():
        _check_variable(f"The key of backend '{name}'", backend.api_key_env)
        if backend.dialect and backend.dialect not in DIALECTS:
            near = difflib.get_close_matches(backend.dialect, DIALECTS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(DIALECTS)}."
            fail(f"Unknown dialect '{backend.dialect}' of backend '{name}'. {hint}")
    try:
        routed(settings)
    except ValueError as error:
        fail(f"{error}.")


def _check_web_search(settings: config.Config) -> None:
    if not settings.tools.web_search.engines:
        return
    from antiphon.api.web_setup import key_variables, missing

    for engine, variable in key_variables(settings.tools.web_search).items():
        _check_variable(f"The key of {engine}", variable)
    if words := missing(settings.tools.web_search):
        fail(words)


def _check_secrets(settings: config.Config) -> None:
    """Those that nothing else is checked with."""
    _check_variable("The key of what judges", settings.moderation.api_key_env)
    for name, connector in settings.connectors.items():
        _check_variable(f"The token of connector '{name}'", connector.authorization_env)
    _check_variable("The token of the Jupyter gateway", settings.sandbox.token_env)


def _check_variable(what: str, name: str | None) -> None:
    """A secret is in the environment, if it is read from there."""
    if name and name not in os.environ:
        fail(
            f"{what} is read from {name}, a variable that is not set: set it, as with `export NAME=…`, "
            "before the start."
        )


def _check_webhooks(settings: config.Config) -> None:
    from antiphon.webhooks.endpoints import BadSecret, key_of

    for name, webhook in settings.webhooks.items():
        _check_variable(f"The secret of webhook '{name}'", webhook.secret_env)
        try:
            key_of(webhook.secret or os.environ.get(webhook.secret_env or "", ""))
        except BadSecret as error:
            fail(f"The secret of webhook '{name}' is not one: {error}. `antiphon webhooks secret` makes one.")
