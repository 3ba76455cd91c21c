"""What can be set: one class for each section of the configuration. Those of model servers are in
`model_settings`, those of tools in `tool_settings`.

Pure data: nothing is read or built here.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from antiphon.config.model_settings import (
    BackendSettings,
    Embeddings,
    Images,
    ModelSettings,
    Moderation,
    Reranker,
)
from antiphon.config.tool_settings import FileSearchSettings, McpSettings, Tools, WebSearchSettings
from antiphon.keys.secret import digest_of
from antiphon.protocol.tiers import Tier
from antiphon.protocol.webhooks import EVENTS, EventType

HashedKey = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]


_Most = Annotated[int, Meta(ge=1)] | None
Role = Literal["both", "server", "worker"]


class Server(Struct, frozen=True, kw_only=True):
    """`[server]`: where we listen, and to whom."""

    host: str = "127.0.0.1"
    """The address to listen on; `0.0.0.0` is every address of this machine."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """The port to listen on; 0: a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Server processes that share the port and the data directory."""
    keys: dict[str, HashedKey] = msgspec.field(default_factory=dict)
    """Project to hashed API key (`antiphon key PROJECT` makes both). None: every key that was not made at run
    time is project `default`."""
    require_keys: bool = False
    """Whether requests need a key though there are none here: one that was made at run time (`antiphon key
    create`). With keys here they always do."""
    allow_anybody: bool = False
    """Whether a server without keys may listen where other machines reach it: everyone there can use it
    then. It does not start otherwise."""
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
    role: Role = "both"
    """What this process does. `server`: it answers requests, and leaves what goes on in the background
    (background responses, indexing, webhooks, expiry) to others; `worker`: it does that, and answers only
    `/healthz`, `/readyz` and `/metrics`; `both`: both."""
    drain_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds for which a server that is told to stop (SIGTERM) goes on answering, so that a balancer sees by
    `/readyz` that it is to send nothing more."""
    stop_seconds: Annotated[int, Meta(ge=0)] = 10
    """Seconds that answers under way may take after that."""
    verify: bool = False
    """Check of every response that its event log, folded, is the answer that was given."""

    @property
    def needs_key(self) -> bool:
        """Whether requests without a key are refused."""
        return self.require_keys or bool(self.keys)


class KeySettings(Struct, frozen=True, kw_only=True):
    """`[keys.NAME]`: what the key NAME of `[server.keys]` may. None: whatever it likes."""

    project: str | None = None
    """Whose it is; none: of the project with its name."""
    admin: bool = False
    """Whether it sees all projects in the dashboard, and may make keys there."""
    models: list[str] = msgspec.field(default_factory=list)
    """Names and patterns (`gpt-*`) of the models that it may use, as requests name them; none: all."""
    service_tiers: list[Tier] = msgspec.field(default_factory=list)
    """The service tiers that it may have; what asks for another one is served in the next lower one. None:
    all."""
    requests_per_minute: _Most = None
    """Requests that a model answers."""
    tokens_per_minute: _Most = None
    """Of input and output."""
    concurrency: _Most = None
    """Requests that are answered at once."""
    token_budget: _Most = None
    """Tokens for each `budget_window`."""
    budget_window: Literal["day", "month"] = "month"
    """Of UTC."""
    expires_at: datetime | None = None
    """Until when it is let in, such as `2027-01-31T00:00:00Z`."""


class Store(Struct, frozen=True, kw_only=True):
    """`[store]`: where responses and conversations are kept."""

    url: str | None = None
    """`sqlite:///PATH`, or `postgresql://…` for several servers; none: a file in the data directory."""
    listen_url: str | None = None
    """Where `url` leads to a pooler (pgbouncer): PostgreSQL's own address, since who listens to its notices
    needs a session."""
    connections: Annotated[int, Meta(ge=2)] = 8
    """To PostgreSQL, that each server process has at most. One more listens to notices."""
    sealing_key_env: str | None = None
    """The environment variable that holds the key with which what clients carry for us, and secrets that
    wait in the store, are sealed: 32 bytes in base64. All servers of a store need the same one. None: a file
    in the data directory, which is right for one server."""

    @property
    def is_shared(self) -> bool:
        """Whether servers on several machines can use it."""
        return (self.url or "").startswith(("postgresql://", "postgres://"))


class Blobs(Struct, frozen=True, kw_only=True):
    """`[blobs]`: where the bytes of files, of containers and of skills are kept."""

    url: str | None = None
    """`s3://BUCKET/PREFIX`, with credentials, region and endpoint from the usual `AWS_*` variables, or
    `file:///PATH` for a folder; none: a folder in the data directory."""


class Sandbox(Struct, frozen=True, kw_only=True):
    """`[sandbox]`: where code from models runs, and what it may take."""

    driver: Literal["auto", "bubblewrap", "jupyter", "none"] = "auto"
    """What sandboxes are made with. `auto`: bubblewrap, where it works; `jupyter`: kernels of a Jupyter
    gateway; `none`: no code runs."""
    url: str | None = None
    """Of the Jupyter gateway, such as `http://gateway.example:8888`."""
    token_env: str | None = None
    """The environment variable that holds the gateway's token."""
    kernel: str | None = None
    """The gateway's kernelspec; none: its default."""
    setup: Literal["use", "start"] = "use"
    """When the Python of the sandboxes is made, unless `antiphon sandbox setup` has made it: when code is
    first wanted, or already when the server starts, beside what it answers."""
    environment: str | None = None
    """A virtual environment of your own for Python in sandboxes, with ipykernel in it; none: the one that
    Antiphon makes in the data directory."""
    memory_mb: Annotated[int, Meta(ge=64)] = 1024
    """The most memory, in MiB, that a container may be given; `memory_limit` of requests counts up to it."""
    disk_mb: Annotated[int, Meta(ge=16)] = 512
    """MiB of files that a container may have while it runs."""
    processes: Annotated[int, Meta(ge=8)] = 128
    """Processes and threads that a container may have at once."""
    seconds: Annotated[float, Meta(gt=0)] = 120.0
    """Seconds that code may run, and each command of a shell unless its call says less."""
    idle_minutes: Annotated[int, Meta(ge=1)] = 20
    """Minutes without use after which a container expires; requests may ask for less."""
    containers: Annotated[int, Meta(ge=1)] = 20
    """Containers that run at once, in each server process. Those that nobody uses at the moment give way to
    others, and start again from their files."""
    project_containers: Annotated[int, Meta(ge=1)] = 10
    """How many of them may belong to one project."""
    warm: Annotated[int, Meta(ge=0, le=4)] = 1
    """Sandboxes that wait, with Python started, once code has run in this server process."""


class Limits(Struct, frozen=True, kw_only=True):
    """`[limits]`"""

    response_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Seconds; a response that takes longer is ended as failed."""
    background_runs: Annotated[int, Meta(ge=1)] = 16
    """How many background responses run at once, in each server process."""
    background_queue: Annotated[int, Meta(ge=1)] = 1000
    """How many background responses wait for their turn; the next one is refused with 429."""
    background_quiet: Annotated[int, Meta(ge=0)] = 0
    """Up to how many responses a server process makes for clients who wait while it begins background
    responses that may wait for quiet times (`completion_window`)."""
    background_seconds: Annotated[float, Meta(gt=0)] = 24 * 60 * 60.0
    """Seconds that a background response may take, counted from its start."""
    file_bytes: Annotated[int, Meta(ge=1024)] = 512 * 1024 * 1024
    """The largest file that POST /v1/files takes."""
    stored_bytes: Annotated[int, Meta(ge=1024)] | None = None
    """Bytes that each project may keep: items and their pictures, responses, conversations, prompts, files
    and chunks of files, files of containers, and skills. What would add more is refused with 507, before
    anything is begun; reading, deleting and `store: false` go on. None: as many as the disk holds. All that
    is stored is counted when the server first starts with a number here."""
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


class Webhook(Struct, frozen=True, kw_only=True):
    """`[webhooks.NAME]`: where the ends of background responses are delivered."""

    url: str
    """The endpoint. May be an address of your own network: it is named here, not by clients."""
    secret_env: str | None = None
    """The environment variable that holds the secret (`antiphon webhooks secret` makes one)."""
    secret: str | None = None
    """The secret itself, `whsec_…`, for who keeps this file as safe as a secret."""
    events: Annotated[list[EventType], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(EVENTS)
    )
    """Which ends it hears of."""
    project: str | None = None
    """The project whose responses it hears of; none: every project's."""


_Days = Annotated[float, Meta(ge=0)]


class Retention(Struct, frozen=True, kw_only=True):
    """`[retention]`: how long things are kept. 0: for ever."""

    responses_days: _Days = 30
    """Days for responses, for items that a deleted conversation has left, and for containers that have
    expired. Conversations do not expire."""
    events_hours: _Days = 24
    """Hours for events of background responses that have ended, from which a stream is resumed."""
    deliveries_days: _Days = 30
    """Days for the log of webhooks."""
    activity_days: _Days = 90
    """Days for what became of each response, without its content: model, tokens, durations, error."""


class Telemetry(Struct, frozen=True, kw_only=True):
    """`[telemetry]`: where traces and metrics go, in OpenTelemetry's protocol OTLP."""

    otlp_endpoint: str | None = None
    """Of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` and
    `/v1/metrics` are added. None: what `OTEL_EXPORTER_OTLP_ENDPOINT` says, and nothing is exported without
    either. Other `OTEL_*` variables hold as well."""
    content: Literal["none", "all"] = "none"
    """Whether traces have what was said and called: `all` tells the collector instructions, messages, and the
    arguments and results of calls, of responses that are stored."""


class Dashboard(Struct, frozen=True, kw_only=True):
    """`[dashboard]`: the pages for people, under `/dashboard` of the same port, and what is recorded."""

    enabled: bool = True
    """Whether there are pages."""
    record: Literal["off", "errors", "all"] | None = None
    """Of which responses it is kept what was sent to upstreams for them and what came back, as
    `antiphon logs RESPONSE_ID` shows it. `errors`: of those that failed, or where an upstream did. None: all
    on a server that listens to this machine alone, errors on others."""
    record_days: _Days = 3
    """Days for which that is kept, unless its response is deleted before; 0: for ever."""
    record_bytes: Annotated[int, Meta(ge=0)] = 2**30
    """Bytes of it, packed, in all: the oldest goes first."""

    def records(self, server: Server) -> Literal["off", "errors", "all"]:
        """What holds on such a server."""
        return self.record or ("all" if is_loopback(server.host) else "errors")


class Project(Struct, frozen=True, kw_only=True):
    """`[projects.NAME]`: a project, as its keys name it; without keys there is `default`."""

    record: bool = True
    """Whether what its responses send to upstreams may be recorded (`[dashboard] record`), and what was said
    told to a collector (`content` of `[telemetry]`). If not, nothing of it is, and what was is forgotten."""


class Config(Struct, frozen=True, kw_only=True):
    """The whole file."""

    data_dir: str
    """Where the database, files, the embedded model and logs are kept."""
    server: Server = Server()
    keys: dict[str, KeySettings] = msgspec.field(default_factory=dict)
    store: Store = Store()
    blobs: Blobs = Blobs()
    backends: dict[str, BackendSettings] = msgspec.field(default_factory=dict)
    models: dict[str, ModelSettings] = msgspec.field(default_factory=dict)
    embeddings: Embeddings = Embeddings()
    sandbox: Sandbox = Sandbox()
    reranker: Reranker = Reranker()
    images: Images = Images()
    moderation: Moderation = Moderation()
    limits: Limits = Limits()
    outbound: Outbound = Outbound()
    tools: Tools = Tools()
    connectors: dict[str, Connector] = msgspec.field(default_factory=dict)
    mcp_servers: dict[str, McpServer] = msgspec.field(default_factory=dict)
    webhooks: dict[str, Webhook] = msgspec.field(default_factory=dict)
    retention: Retention = Retention()
    telemetry: Telemetry = Telemetry()
    dashboard: Dashboard = Dashboard()
    projects: dict[str, Project] = msgspec.field(default_factory=dict)

    def projects_by_key(self) -> dict[str, str]:
        """Hashed key to project, of the keys of the configuration."""
        return {
            hashed: self.keys.get(name, KeySettings()).project or name
            for name, hashed in self.server.keys.items()
        }

    @property
    def store_url(self) -> str:
        return self.store.url or f"sqlite:///{Path(self.data_dir) / 'antiphon.db'}"


SECTIONS: Final[dict[str, type[Struct]]] = {
    "server": Server,
    "store": Store,
    "blobs": Blobs,
    "embeddings": Embeddings,
    "sandbox": Sandbox,
    "reranker": Reranker,
    "images": Images,
    "moderation": Moderation,
    "limits": Limits,
    "outbound": Outbound,
    "retention": Retention,
    "telemetry": Telemetry,
    "dashboard": Dashboard,
}
NAMED: Final[dict[str, type[Struct]]] = {
    "keys": KeySettings,
    "backends": BackendSettings,
    "models": ModelSettings,
    "connectors": Connector,
    "mcp_servers": McpServer,
    "webhooks": Webhook,
    "projects": Project,
}
NESTED: Final[dict[str, dict[str, type[Struct]]]] = {
    "tools": {"mcp": McpSettings, "file_search": FileSearchSettings, "web_search": WebSearchSettings}
}
ALL: Final = (*SECTIONS, *NAMED, *NESTED)
TOP: Final = ("data_dir", *ALL)


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached from this machine alone."""
    return host in ("localhost", "::1") or host.startswith("127.")


def hash_key(key: str) -> str:
    """An API key as `[server.keys]` holds it."""
    return digest_of(key)
