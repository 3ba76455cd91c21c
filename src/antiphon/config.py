"""The configuration: one TOML file, and every key also an environment variable.

Pure data and how it is read; nothing is built here. What is set on the command line wins over the
environment (`ANTIPHON_SECTION_KEY`, for named tables `ANTIPHON_BACKENDS_NAME_KEY`), which wins over the
file, which wins over the defaults below. A key that is not known is an error: a misspelt setting that is
silently ignored is found out too late.
"""

import difflib
import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

FILE_NAME: Final = "antiphon.toml"
RESOLVED: Final = "ANTIPHON_RESOLVED_CONFIG"
"""Where the command line leaves the whole configuration, as JSON, for the workers that it starts."""

_HOST: Final = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+")
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")

_PREFIX: Final = "ANTIPHON_"
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


class ConfigError(Exception):
    """The configuration cannot be used; the message says which key and why."""


HashedKey = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]

# ---- what can be set --------------------------------------------------------------------------------


class Server(Struct, frozen=True, kw_only=True):
    """`[server]`: where we listen, and to whom."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` is every address of this machine."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """The port to listen on; 0: a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Server processes that share the port and the data directory."""
    keys: dict[str, HashedKey] = msgspec.field(default_factory=dict)
    """Project to hashed API key (`antiphon key PROJECT` makes both). None: every key is project `default`."""
    allowed_hosts: list[str] = msgspec.field(default_factory=list)
    """Names under which the server is reached, such as `ai.example.com` or `*.example.com`. Without keys it
    answers only to these, to localhost, to IP addresses and to names without dots, since a web page can have
    any other name lead to this server; `*` lets every name in. With keys it answers to every name, unless
    some are named here."""
    allowed_origins: list[str] = msgspec.field(default_factory=list)
    """Origins whose web pages may use the server, such as `https://app.example.com`; `*`: every web page. All
    others are kept away: without keys they are refused, with keys their browser is not let read anything."""
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    """The largest body of a request, files and parts of uploads aside."""
    keep_alive: Annotated[float, Meta(gt=0)] = 15.0
    """Seconds of silence in a stream after which `response.in_progress` is emitted again: Codex and others
    take a longer silence for a dead connection, and comment lines do not count for them."""
    lenient: bool = False
    """Ignore request parameters that are not known, instead of refusing them."""
    verify: bool = False
    """Check of every response that its event log, folded, is the answer that was given."""

    def projects(self) -> dict[str, str]:
        """Hashed key to project."""
        return {key: project for project, key in self.keys.items()}


class Store(Struct, frozen=True, kw_only=True):
    """`[store]`: where responses and conversations are kept."""

    url: str | None = None
    """`sqlite:///PATH`; none: a file in the data directory."""


class BackendSettings(Struct, frozen=True, kw_only=True):
    """`[backends.NAME]`: something that answers."""

    type: Literal["chat_completions", "llama"] = "chat_completions"
    """A Chat Completions server, or the embedded model."""
    base_url: str | None = None
    """Of a Chat Completions server, with its `/v1`."""
    unix_socket: str | None = None
    """Reach the server through this socket. For `llama`, `antiphon serve` sets it."""
    api_key_env: str | None = None
    """The environment variable that holds the upstream's key: secrets are not written in files."""
    models: list[str] | dict[str, str] = msgspec.field(default_factory=list)
    """Names (or patterns, `gpt-*`) that it answers; as a table: our name to the upstream's name."""
    default: bool | str = False
    """Answers names that nobody else does: under the name asked for (true), or always under this name."""
    dialect: str | None = None
    """Whose Chat Completions it speaks; none: the plain one."""
    timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds without a byte after which the upstream counts as gone."""
    context_window: Annotated[int, Meta(ge=256)] | None = None
    """Tokens of the models' context: what is longer is refused before it is sent, or shortened on request."""
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    """Tokens of an answer when its request does not say how many: it ends as incomplete there. None: as many
    as the model likes; for the embedded one 1,024, since it often does not know when to stop."""
    structured_output: bool = True
    """Whether its models can be held to a JSON schema. If not, they read it in words, and their
    answers are checked."""
    text_calls: bool = True
    """Whether calls that its models write in their text, in a syntax of their own, are read as calls when the
    function is on offer."""


class Limits(Struct, frozen=True, kw_only=True):
    """`[limits]`"""

    response_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Seconds; a response that takes longer is ended as failed."""
    background_runs: Annotated[int, Meta(ge=1)] = 16
    """How many background responses run at once, in each server process."""
    background_queue: Annotated[int, Meta(ge=1)] = 1000
    """How many background responses wait for their turn; the next one is refused with 429."""
    background_seconds: Annotated[float, Meta(gt=0)] = 24 * 60 * 60.0
    """Seconds that a background response may take, counted from its start."""
    file_bytes: Annotated[int, Meta(ge=1024)] = 512 * 1024 * 1024
    """The largest file that POST /v1/files takes."""
    held_bytes: Annotated[int, Meta(ge=1024)] = 256 * 1024 * 1024
    """Bytes of all request bodies that each server process holds at once, from their arrival until they are
    answered. What comes on top is refused with 503 and Retry-After."""
    request_items: Annotated[int, Meta(ge=1)] = 10_000
    """Items that one request may bring in `input`."""
    request_values: Annotated[int, Meta(ge=1000)] = 250_000
    """JSON values (members and elements) that one body may hold, in all its items and tools together."""
    answer_bytes: Annotated[int, Meta(ge=65536)] = 64 * 1024 * 1024
    """What an upstream may send for one answer. One that never ends its stream is ended there."""


class Outbound(Struct, frozen=True, kw_only=True):
    """`[outbound]`: fetching what clients name by URL (images, files)."""

    allow_private: bool = False
    """Fetch also from addresses that the internet cannot reach: this machine, its network, its cloud."""
    max_bytes: Annotated[int, Meta(ge=1024)] = 50 * 1024 * 1024
    """The largest image or file that is fetched."""
    seconds: Annotated[float, Meta(gt=0)] = 20.0
    """Seconds that a fetch may take, redirects included."""


class Connector(Struct, frozen=True, kw_only=True):
    """`[connectors.ID]`: the MCP server behind a `connector_id` of requests."""

    url: str
    """Where the MCP server listens."""
    authorization_env: str | None = None
    """The environment variable that holds a token for it; what a request brings itself wins."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Headers that are sent with every request to it."""


class McpServer(Struct, frozen=True, kw_only=True):
    """`[mcp_servers.NAME]`: an MCP server that we start, named by the server_label of requests."""

    command: str
    """The program, looked up in PATH."""
    args: list[str] = msgspec.field(default_factory=list)
    """Its arguments."""
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """All it gets of an environment, besides PATH, HOME, USER, LOGNAME, SHELL and TERM."""


WebhookEvent = Literal["response.completed", "response.failed", "response.cancelled", "response.incomplete"]


class Webhook(Struct, frozen=True, kw_only=True):
    """`[webhooks.NAME]`: where the ends of background responses are delivered."""

    url: str
    """The endpoint. May be an address of your own network: it is named here, not by clients."""
    secret_env: str | None = None
    """The environment variable that holds the secret (`antiphon webhooks secret` makes one)."""
    secret: str | None = None
    """The secret itself, `whsec_…`, for who keeps this file as safe as a secret."""
    events: Annotated[list[WebhookEvent], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(get_args(WebhookEvent))
    )
    """Which ends it hears of."""
    project: str | None = None
    """The project whose responses it hears of; none: every project's."""


_Days = Annotated[float, Meta(ge=0)]


class Retention(Struct, frozen=True, kw_only=True):
    """`[retention]`: how long things are kept. 0: for ever."""

    responses_days: _Days = 30
    """Days for responses, and for items that a deleted conversation has left. Conversations do not expire."""
    events_hours: _Days = 24
    """Hours for events of background responses that have ended, from which a stream is resumed."""
    deliveries_days: _Days = 30
    """Days for the log of webhooks."""
    activity_days: _Days = 90
    """Days for what became of each response, without its content: model, tokens, durations, error."""


class McpSettings(Struct, frozen=True, kw_only=True):
    """`[tools.mcp]`: what an MCP server may take."""

    call_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds that a call may go on without an answer or a progress notification."""
    total_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds that a call may go on at all."""
    list_seconds: Annotated[float, Meta(gt=0)] = 20.0
    """Seconds that connecting and listing the tools may take."""
    result_bytes: Annotated[int, Meta(ge=1024)] = 4 * 1024 * 1024
    """The largest answer of a server."""
    result_values: Annotated[int, Meta(ge=1000)] = 30_000
    """JSON values (members and elements) of the largest answer, or of the longest listing."""
    connections: Annotated[int, Meta(ge=1)] = 100
    """How many connections are kept."""
    idle_seconds: Annotated[float, Meta(gt=0)] = 120.0
    """Seconds for which a connection is kept that nobody uses."""
    cache_seconds: Annotated[float, Meta(ge=0)] = 60.0
    """Seconds for which a listing is remembered."""


class Tools(Struct, frozen=True, kw_only=True):
    """`[tools.TYPE]`: the tools that run here."""

    mcp: McpSettings = McpSettings()


class Config(Struct, frozen=True, kw_only=True):
    """The whole file."""

    data_dir: str
    """Where the database, files, the embedded model and logs are kept."""
    server: Server = Server()
    store: Store = Store()
    backends: dict[str, BackendSettings] = msgspec.field(default_factory=dict)
    limits: Limits = Limits()
    outbound: Outbound = Outbound()
    tools: Tools = Tools()
    connectors: dict[str, Connector] = msgspec.field(default_factory=dict)
    mcp_servers: dict[str, McpServer] = msgspec.field(default_factory=dict)
    webhooks: dict[str, Webhook] = msgspec.field(default_factory=dict)
    retention: Retention = Retention()

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{Path(self.data_dir) / 'antiphon.db'}"


_SECTIONS: Final[dict[str, type[Struct]]] = {
    "server": Server,
    "store": Store,
    "limits": Limits,
    "outbound": Outbound,
    "retention": Retention,
}
_NAMED: Final[dict[str, type[Struct]]] = {
    "backends": BackendSettings,
    "connectors": Connector,
    "mcp_servers": McpServer,
    "webhooks": Webhook,
}
_NESTED: Final[dict[str, dict[str, type[Struct]]]] = {"tools": {"mcp": McpSettings}}
_ALL: Final = (*_SECTIONS, *_NAMED, *_NESTED)
_TOP: Final = ("data_dir", *_ALL)
_RESERVED: Final = {RESOLVED, f"{_PREFIX}DATA_DIR", f"{_PREFIX}CONFIG"}


# ---- how it is read ---------------------------------------------------------------------------------


def load(
    file: Path | None = None, environ: Mapping[str, str] = os.environ, data_dir: Path | None = None
) -> Config:
    """The configuration from a file (given, or `ANTIPHON_CONFIG`, or `antiphon.toml` in the working
    directory when there is one) and the environment. Raises `ConfigError`."""
    path = _find(file, environ)
    tree = _read(path) if path else {}
    where = str(path) if path else "the environment"
    _check_keys(tree, where)
    config = _convert(_merge(tree, _from_environment(environ, tree)), where)
    directory = data_dir or _given_directory(config.data_dir, environ)
    directory = (directory or default_data_dir(environ)).expanduser().absolute()
    config = msgspec.structs.replace(config, data_dir=str(directory))
    check(config, where)
    return config


def check(config: Config, where: str) -> None:
    """What types cannot express. Raises `ConfigError`."""
    for name, backend in config.backends.items():
        if backend.type == "chat_completions" and not (backend.base_url or backend.unix_socket):
            raise ConfigError(
                f"[backends.{name}] in {where} needs a base_url, for example http://127.0.0.1:11434/v1."
            )
        if backend.base_url and not re.match("https?://[^/]", backend.base_url):
            raise ConfigError(
                f"base_url of [backends.{name}] in {where} must begin with http:// or https://."
            )
        if backend.type == "llama" and backend.base_url:
            raise ConfigError(f"[backends.{name}] in {where} is the embedded model: it has no base_url.")
        if backend.type == "llama" and (
            backend.context_window or not (backend.structured_output and backend.text_calls)
        ):
            raise ConfigError(
                f"[backends.{name}] in {where} is the embedded model: what it can do need not be said."
            )
    for name, connector in config.connectors.items():
        _check_url(connector.url, f"[connectors.{name}]", where)
    _check_server(config, where)
    _check_webhooks(config, where)
    defaults = [name for name, backend in config.backends.items() if backend.default]
    if len(defaults) > 1:
        raise ConfigError(f"Only one backend can be the default; in {where} there are {', '.join(defaults)}.")


def _check_server(config: Config, where: str) -> None:
    for host in config.server.allowed_hosts:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"allowed_hosts of [server] in {where} takes names without scheme and port, such as "
                f"ai.example.com or *.example.com, and not '{host}'."
            )
    for origin in config.server.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"allowed_origins of [server] in {where} takes scheme, host and port in lower case, such as "
                f"https://app.example.com or http://localhost:3000, and not '{origin}'."
            )
    if config.limits.held_bytes < config.server.max_body_bytes:
        raise ConfigError(
            f"held_bytes of [limits] in {where} must be at least {config.server.max_body_bytes}, which is "
            "max_body_bytes of [server]: a body of that size could never be taken."
        )


def _check_webhooks(config: Config, where: str) -> None:
    projects = tuple(config.server.keys or ("default",))
    for name, webhook in config.webhooks.items():
        section = f"[webhooks.{name}]"
        _check_url(webhook.url, section, where)
        if (webhook.secret is None) == (webhook.secret_env is None):
            raise ConfigError(
                f"{section} in {where} needs secret_env or secret: `antiphon webhooks secret` makes one."
            )
        if webhook.project is not None:
            _known(webhook.project, projects, f"{section} of {where}", "project")


def _check_url(url: str, section: str, where: str) -> None:
    if not re.match("https?://[^/]", url):
        raise ConfigError(f"url of {section} in {where} must begin with http:// or https://.")


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where data is kept on this kind of machine."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "antiphon"
    base = environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "antiphon"


def dump(config: Config) -> str:
    """For `RESOLVED`."""
    return msgspec.json.encode(config).decode()


def resolved(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the command line left for its workers."""
    return msgspec.json.decode(environ[RESOLVED], type=Config)


def hash_key(key: str) -> str:
    """An API key as `[server.keys]` holds it."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _find(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is None and f"{_PREFIX}CONFIG" in environ:
        file = Path(environ[f"{_PREFIX}CONFIG"])
    if file is not None:
        return file
    here = Path(FILE_NAME)
    return here if here.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not TOML: {error}.") from error


def _given_directory(in_file: str, environ: Mapping[str, str]) -> Path | None:
    given = environ.get(f"{_PREFIX}DATA_DIR") or in_file
    return Path(given) if given else None


# ---- keys ---------------------------------------------------------------------------------------------


def _check_keys(tree: dict[str, Any], where: str) -> None:
    for key, value in tree.items():
        _known(key, _TOP, where)
        if key in _SECTIONS:
            _check_table(value, _SECTIONS[key], f"[{key}]", where)
        elif key in _NAMED:
            for name, table in _table(value, f"[{key}]", where).items():
                _check_table(table, _NAMED[key], f"[{key}.{name}]", where)
        elif key in _NESTED:
            for name, table in _table(value, f"[{key}]", where).items():
                _known(name, tuple(_NESTED[key]), f"[{key}] of {where}")
                _check_table(table, _NESTED[key][name], f"[{key}.{name}]", where)


def _check_table(value: Any, kind: type[Struct], section: str, where: str) -> None:
    for key in _table(value, section, where):
        _known(key, kind.__struct_fields__, f"{section} of {where}")


def _table(value: Any, section: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{section} of {where} must be a table of keys.")
    return value


def _known(key: str, known: tuple[str, ...], where: str, what: str = "key") -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}."
    raise ConfigError(f"Unknown {what} '{key}' in {where}. {hint}")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _convert(tree: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert({"data_dir": "", **tree}, Config)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.removesuffix("`") or "a key"
        raise ConfigError(f"{key} in {where} has a wrong value: {reason[0].lower()}{reason[1:]}.") from error


# ---- the environment ----------------------------------------------------------------------------------


def _from_environment(environ: Mapping[str, str], tree: dict[str, Any]) -> dict[str, Any]:
    """The variables `ANTIPHON_…` as a tree of the file's shape."""
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(_PREFIX) and variable not in _RESERVED:
            place = _place(variable, tree)
            if place:
                _put(found, place, _value(text, place, variable))
    return found


def _place(variable: str, tree: dict[str, Any]) -> tuple[str, ...]:
    """Which key a variable sets; none when it is no variable of ours."""
    words = variable.removeprefix(_PREFIX).lower()
    section = next((each for each in _ALL if words.startswith(f"{each}_")), words.partition("_")[0])
    rest = words.removeprefix(f"{section}_")
    if section in _SECTIONS:
        return (section, *_key_of(rest, _SECTIONS[section], variable))
    if section in _NAMED:
        return (section, *_named_place(rest, _NAMED[section], tree.get(section, {}), variable))
    if section in _NESTED:
        name, _, key = rest.partition("_")
        _known(name, tuple(_NESTED[section]), f"the environment variable {variable}")
        return (section, name, *_key_of(key, _NESTED[section][name], variable))
    near = difflib.get_close_matches(section, _ALL, n=1, cutoff=0.75)
    if near:
        raise ConfigError(
            f"Unknown section in the environment variable {variable}. Did you mean '{near[0]}'?"
        )
    return ()  # other programs' variables may begin like ours


def _key_of(rest: str, kind: type[Struct], variable: str) -> tuple[str, ...]:
    if rest.startswith("keys_") and "keys" in kind.__struct_fields__:
        return ("keys", rest.removeprefix("keys_"))
    _known(rest, kind.__struct_fields__, f"the environment variable {variable}")
    return (rest,)


def _named_place(rest: str, kind: type[Struct], tables: dict[str, Any], variable: str) -> tuple[str, str]:
    """Splits `my_name_base_url`: the key is the longest one that the rest ends with."""
    endings = [key for key in kind.__struct_fields__ if rest.endswith(f"_{key}")]
    if not endings:
        name, _, key = rest.rpartition("_")
        _known(key if name else rest, kind.__struct_fields__, f"the environment variable {variable}")
    key = max(endings, key=len)
    name = rest.removesuffix(f"_{key}")
    same = [table for table in tables if re.sub(r"\W", "_", table).lower() == name]
    return (same[0] if same else name, key)


def _put(tree: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for step in place[:-1]:
        tree = tree.setdefault(step, {})
    tree[place[-1]] = value


def _value(text: str, place: tuple[str, ...], variable: str) -> Any:
    """A variable's text as the type that its key has."""
    kind = _NESTED[place[0]][place[1]] if place[0] in _NESTED else (_SECTIONS | _NAMED)[place[0]]
    key = place[-1] if place[-1] in kind.__struct_fields__ else ""
    wanted = {field.name: field.type for field in msgspec.structs.fields(kind)}.get(key, str)
    if key in ("models", "args", "events", "allowed_hosts", "allowed_origins"):
        return _names(text, variable)
    if key in ("keys", "headers", "env"):
        return _json(text, variable)
    if wanted in (bool, bool | str) and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The environment variable {variable} has a wrong value: {error}.") from error


def _names(text: str, variable: str) -> Any:
    """`a, b` or JSON."""
    if text.lstrip().startswith(("[", "{")):
        return _json(text, variable)
    return [name.strip() for name in text.split(",") if name.strip()]


def _json(text: str, variable: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError(f"The environment variable {variable} is not JSON: {error}.") from error
