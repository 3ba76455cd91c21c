"""What the configuration takes, from where, and how it says no."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.docs.reading import blocks

from antiphon import config

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str) -> Path:
        path = tmp_path / "antiphon.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return file


def test_without_anything_it_listens_on_loopback_and_stores_in_the_data_directory(tmp_path: Path) -> None:
    settings = config.load(environ={"XDG_DATA_HOME": str(tmp_path)}, data_dir=None)

    assert settings.server == config.Server(host="127.0.0.1", port=8000, workers=1)
    assert settings.backends == {}
    assert settings.data_dir.endswith("antiphon")
    assert settings.store_url == f"sqlite:///{settings.data_dir}/antiphon.db"


def test_every_section_of_the_file_is_read(write: Write) -> None:
    file = write(
        f"""
        data_dir = "/var/lib/antiphon"
        [server]
        port = 9000
        lenient = true
        keys.blog = "{config.hash_key("secret")}"
        [store]
        url = "sqlite:////var/lib/antiphon/other.db"
        [backends.local]
        base_url = "http://127.0.0.1:11434/v1"
        api_key_env = "LOCAL_KEY"
        default = "llama3"
        dialect = "ollama"
        [backends.local.models]
        "gpt-4o" = "llama3:70b"
        [embeddings]
        base_url = "http://127.0.0.1:11434/v1"
        model = "nomic-embed-text"
        api_key_env = "LOCAL_KEY"
        [tools.mcp]
        call_seconds = 5.5
        connections = 7
        [connectors.connector_gmail]
        url = "https://mail.example.com/mcp"
        authorization_env = "MAIL_TOKEN"
        headers = {{ "X-From" = "us" }}
        [mcp_servers.files]
        command = "uvx"
        args = ["mcp-files", "/srv"]
        env = {{ MODE = "read" }}
        """
    )

    settings = config.load(file, environ={})

    assert settings == config.Config(
        data_dir="/var/lib/antiphon",
        server=config.Server(port=9000, lenient=True, keys={"blog": config.hash_key("secret")}),
        store=config.Store(url="sqlite:////var/lib/antiphon/other.db"),
        backends={
            "local": config.BackendSettings(
                base_url="http://127.0.0.1:11434/v1",
                api_key_env="LOCAL_KEY",
                models={"gpt-4o": "llama3:70b"},
                default="llama3",
                dialect="ollama",
            )
        },
        embeddings=config.Embeddings(
            base_url="http://127.0.0.1:11434/v1", model="nomic-embed-text", api_key_env="LOCAL_KEY"
        ),
        tools=config.Tools(mcp=config.McpSettings(call_seconds=5.5, connections=7)),
        connectors={
            "connector_gmail": config.Connector(
                url="https://mail.example.com/mcp", authorization_env="MAIL_TOKEN", headers={"X-From": "us"}
            )
        },
        mcp_servers={
            "files": config.McpServer(command="uvx", args=["mcp-files", "/srv"], env={"MODE": "read"})
        },
    )


def test_the_environment_wins_over_the_file_key_by_key(write: Write) -> None:
    file = write(
        '[server]\nport = 9000\nhost = "::1"\n[backends.My-Box]\nbase_url = "http://a/v1"\ntimeout = 5.0'
    )

    settings = config.load(
        file,
        environ={
            "ANTIPHON_SERVER_PORT": "9001",
            "ANTIPHON_SERVER_VERIFY": "yes",
            "ANTIPHON_SERVER_KEYS_BLOG": config.hash_key("k"),
            "ANTIPHON_BACKENDS_MY_BOX_BASE_URL": "http://b/v1",
            "ANTIPHON_BACKENDS_MY_BOX_MODELS": "one, two",
            "ANTIPHON_BACKENDS_MY_BOX_DEFAULT": "true",
            "ANTIPHON_BACKENDS_FAR_AWAY_API_KEY_ENV": "FAR_KEY",
            "ANTIPHON_BACKENDS_FAR_AWAY_BASE_URL": "https://c/v1",
            "ANTIPHON_BACKENDS_FAR_AWAY_MODELS": '{"a": "b"}',
            "ANTIPHON_DATA_DIR": "/srv/antiphon",
            "UNRELATED": "x",
        },
    )

    assert settings == config.Config(
        data_dir="/srv/antiphon",
        server=config.Server(host="::1", port=9001, verify=True, keys={"blog": config.hash_key("k")}),
        backends={
            "My-Box": config.BackendSettings(
                base_url="http://b/v1", models=["one", "two"], default=True, timeout=5.0
            ),
            "far_away": config.BackendSettings(
                base_url="https://c/v1", api_key_env="FAR_KEY", models={"a": "b"}
            ),
        },
    )


def test_the_directory_given_by_hand_wins_over_the_environment() -> None:
    settings = config.load(environ={"ANTIPHON_DATA_DIR": "/srv/antiphon"}, data_dir=Path("/mine"))

    assert settings.data_dir == "/mine"


def test_a_file_named_in_the_environment_is_read(write: Write) -> None:
    file = write("[server]\nport = 9002")

    assert config.load(environ={"ANTIPHON_CONFIG": str(file)}).server.port == 9002


def test_a_file_in_the_working_directory_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write("[server]\nport = 9003").parent)

    assert config.load(environ={}).server.port == 9003


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", r"Unknown key 'prot' in \[server\] of .*antiphon.toml. Did you mean 'port'\?"),
        ("[sever]\nport = 1", r"Unknown key 'sever' in .*antiphon.toml. Did you mean 'server'\?"),
        (
            '[backends.a]\nbase-url = "http://a"',
            r"Unknown key 'base-url' in \[backends.a\] of .*Did you mean 'base_url'",
        ),
        ("[store]\nzzz = 1", r"Unknown key 'zzz' in \[store\] of .*. Known are url."),
        ("server = 1", r"\[server\] of .* must be a table of keys"),
        ('[server]\nport = "x"', r"server.port in .* has a wrong value: expected `int`, got `str`"),
        ("[server]\nport = 99999", r"server.port in .* has a wrong value: expected `int` <= 65535"),
        (
            "[keys.shop]\nconcurrency = 1",
            r"\[keys.shop\] in .* says what a key may that is not in \[server.keys\]",
        ),
        (
            '[server]\nkeys.a = "plain"',
            r"server.keys.* in .* has a wrong value.*`antiphon key PROJECT` makes a key",
        ),
        (
            '[backends.a]\ntype = "magic"',
            r"backends.a.type in .* has a wrong value: invalid enum value 'magic'. Known are anthropic, ",
        ),
        (
            '[backends.a]\nbase_url = "http://a"\n[backends.b]\nbase_url = 1',
            r"backends.b.base_url in .* has a wrong value: expected `str \| null`, got `int`",
        ),
        (
            '[backends]\nbase_url = "http://a"',
            r"base_url in .* belongs into \[backends.NAME\], with a name of yours",
        ),
        (
            '[backends.a]\nbase_url = "http://a"\napi_key_env = "sk-123"',
            "api_key_env in .* is the name of an environment variable that holds the secret, and not",
        ),
        ("[backends.a]\ndefault = true", r"\[backends.a\] in .* needs a base_url"),
        (
            '[backends.a]\nbase_urls = ["http://a/v1", "http://b/v1"]\nunix_socket = "s"',
            r"base_urls of \[backends.a\] in .* would all lead to its unix_socket",
        ),
        ('[backends.a]\ntype = "responses"', r"\[backends.a\] in .* needs a base_url"),
        (
            '[backends.a]\ntype = "anthropic"\ndialect = "vllm"',
            r"dialect of \[backends.a\] in .* is for servers of Chat Completions",
        ),
        (
            '[backends.a]\nbase_url = "http://a"\nhosted = ["web_search"]',
            r'hosted of \[backends.a\] in .* it goes with type = "responses"',
        ),
        (
            '[backends.a]\ntype = "responses"\nbase_url = "http://a"\nhosted = ["file_search"]',
            r"hosted of \[backends.a\] in .* cannot have file_search, which is run here: the files and",
        ),
        (
            '[backends.a]\ntype = "responses"\nbase_url = "http://a"\nhosted = ["web_serch"]',
            r"Did you mean 'web_search'",
        ),
        ('[backends.a]\nbase_url = "localhost:1"', r"base_url of \[backends.a\] in .* must begin with http"),
        ('[backends.a]\ntype = "llama"\nbase_url = "http://a"', r"is an embedded model: it has no base_url"),
        (
            '[backends.a]\nbase_url="http://a"\ndefault=true\n[backends.b]\nbase_url="http://b"\ndefault="m"',
            r"Only one backend can be the default; in .* there are a, b",
        ),
        ('[webhooks.a]\nurl="a:1"\nsecret="x"', r"url of \[webhooks.a\] in .* must begin with http"),
        ('[webhooks.a]\nurl="http://a"', r"\[webhooks.a\] in .* needs secret_env or secret: `antiphon web"),
        ('[webhooks.a]\nurl="http://a"\nsecret="x"\nsecret_env="X"', r"needs secret_env or secret"),
        ('[webhooks.a]\nsecret="x"', r"webhooks.* in .* has a wrong value: .*missing required field `url`"),
        (
            '[webhooks.a]\nurl="http://a"\nsecret="x"\nevents=["response.done"]',
            r"webhooks.a.events.* value: invalid enum value 'response.done'. Known are response.cancelled, ",
        ),
        ('[webhooks.a]\nurl="http://a"\nsecret="x"\nevents=[]', r"webhooks.*events in .* has a wrong value"),
        ('[webhooks.a]\nurl="http://a"\nsecret="x"\nevent=[]', r"Unknown key 'event' .*mean 'events'"),
        (
            '[webhooks.a]\nurl="http://a"\nsecret="x"\nproject="blog"',
            r"Unknown project 'blog' in \[webhooks.a\] of .* Known are default.",
        ),
        ("[retention]\nresponses_days = -1", r"retention.responses_days in .* has a wrong value"),
        ("[retention]\nresponse_days = 1", r"Unknown key 'response_days' .*Did you mean 'responses_days'"),
        ("[server\n", r"is not TOML"),
        ("[tools.mpc]\ncall_seconds = 1", r"Unknown key 'mpc' in \[tools\] of .*Did you mean 'mcp'"),
        ("[tools.mcp]\ncall_second = 1", r"Unknown key 'call_second' in \[tools.mcp\].*'call_seconds'"),
        (
            "[tools.mcp]\ncall_seconds = 0",
            r"tools.mcp.call_seconds in .* has a wrong value: expected `float` >",
        ),
        ("[tools]\nmcp = 1", r"\[tools.mcp\] of .* must be a table"),
        ('[connectors.a]\nulr = "http://a"', r"Unknown key 'ulr' in \[connectors.a\].*Did you mean 'url'"),
        ('[connectors.a]\nurl = "a.b/mcp"', r"url of \[connectors.a\] in .* must begin with http"),
        ("[connectors.a]", r"connectors.* in .* has a wrong value: object missing required field `url`"),
        ("[mcp_servers.a]\nargs = []", r"mcp_servers.* in .* has a wrong value: .*missing required field"),
        ('[mcp_servers.a]\nurl = "http://a"', r"Unknown key 'url' in \[mcp_servers.a\]"),
        ('[embeddings]\nmodel = "m"', r"\[embeddings\] in .* needs a base_url, for example"),
        ('[embeddings]\napi_key_env = "K"', r"\[embeddings\] in .* needs a base_url, for example"),
        ('[embeddings]\nbase_url = "http://a/v1"', r"\[embeddings\] in .* needs a model"),
        ('[embeddings]\nbase_url = "a/v1"\nmodel = "m"', r"base_url of \[embeddings\] in .* must begin with"),
        ('[moderation]\nmodel = "m"', r"\[moderation\] in .* needs a base_url, for example"),
        ('[moderation]\nbase_url = "http://a/v1"', r"\[moderation\] in .* needs a model"),
        ('[moderation]\nbase_url = "a"\nmodel = "m"', r"base_url of \[moderation\] in .* must begin with"),
        ('[moderation]\nbase_url = "http://a"\njudge = "m"', "has either base_url, the server that judges"),
        ('[moderation]\nform = "schema"', r"form of \[moderation\] in .* says how a judge is asked"),
        ('[embeddings]\nbase_url = "http://a"\nmodel = "m"\nthreads = 2', "threads of .* are those of the"),
        ('[reranker]\nmodel = "m"', r"\[reranker\] in .* needs a base_url, for example"),
        ('[reranker]\nbase_url = "http://a/v1"', r"\[reranker\] in .* needs a model"),
        ('[reranker]\nbase_url = "a"\napi = "tei"', r"base_url of \[reranker\] in .* must begin with"),
        ('[reranker]\nbase_url = "http://a"\napi = "x"', "has a wrong value: invalid enum value 'x'"),
        ('[sandbox]\ndriver = "jupyter"', r"\[sandbox\] in .* needs the url of the Jupyter gateway"),
        ('[sandbox]\ndriver = "jupyter"\nurl = "a:1"', r"url of \[sandbox\] in .* must begin with http"),
        ('[sandbox]\nurl = "http://a"', r"url, token_env and kernel of \[sandbox\] in .* go with driver"),
        ("[embeddings]\nurl = 1", r"Unknown key 'url' in \[embeddings\]"),
    ],
)
def test_a_fault_in_the_file_is_reported_with_its_key_and_its_place(
    write: Write, text: str, said: str
) -> None:
    with pytest.raises(config.ConfigError, match=said):
        config.load(write(text), environ={})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ANTIPHON_SERVER_PROT", "1", "Unknown key 'prot' in the environment variable .*Did you mean 'port'"),
        ("ANTIPHON_SERVER_PORT", "x", "ANTIPHON_SERVER_PORT has a wrong value: Expected `int`"),
        ("ANTIPHON_SERVER_LENIENT", "maybe", "ANTIPHON_SERVER_LENIENT has a wrong value"),
        ("ANTIPHON_STROE_URL", "x", "ANTIPHON_STROE_URL. Did you mean 'store'"),
        ("ANTIPHON_BACKENDS_A_BASEURL", "http://a", "Unknown key 'baseurl' in .*Did you mean 'base_url'"),
        ("ANTIPHON_BACKENDS_URL", "http://a", "Unknown key 'url'"),
        ("ANTIPHON_BACKENDS_A_MODELS", "[1", "ANTIPHON_BACKENDS_A_MODELS is not JSON"),
        ("ANTIPHON_TOOLS_MPC_CALL_SECONDS", "1", "Unknown key 'mpc' in .*Did you mean 'mcp'"),
        ("ANTIPHON_TOOLS_MCP_CALL_SECOND", "1", "Unknown key 'call_second' in .*Did you mean 'call_seconds'"),
        ("ANTIPHON_TOOLS_MCP_CALL_SECONDS", "x", "ANTIPHON_TOOLS_MCP_CALL_SECONDS has a wrong value"),
        ("ANTIPHON_CONNECTORS_A_HEADERS", "X: a", "ANTIPHON_CONNECTORS_A_HEADERS is not JSON"),
        ("ANTIPHON_MCP_SERVERS_A_URL", "http://a", "Unknown key 'url' in .*ANTIPHON_MCP_SERVERS_A_URL"),
    ],
)
def test_a_fault_in_the_environment_is_reported_with_its_variable(
    variable: str, value: str, said: str
) -> None:
    with pytest.raises(config.ConfigError, match=said):
        config.load(environ={variable: value})


def test_variables_of_other_programs_are_left_alone() -> None:
    assert config.load(environ={"ANTIPHON_API_KEY": "x", "ANTIPHON_TEST_MODELS": "/models"}).backends == {}


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"none.toml cannot be read: No such file"):
        config.load(tmp_path / "none.toml", environ={})


def test_the_configuration_survives_the_way_to_the_workers(write: Write) -> None:
    file = write('[backends.a]\nbase_url = "http://a/v1"\nmodels = ["gpt-*"]\ndefault = true')
    settings = config.load(file, environ={})

    assert config.resolved({config.RESOLVED: config.dump(settings)}) == settings


def test_keys_are_found_by_their_hash() -> None:
    server = config.Server(keys={"blog": config.hash_key("secret"), "mine": config.hash_key("second")})
    settings = config.Config(
        data_dir="d", server=server, keys={"mine": config.KeySettings(project="blog", concurrency=1)}
    )

    assert settings.projects_by_key().get(config.hash_key("secret")) == "blog"
    assert settings.projects_by_key().get(config.hash_key("second")) == "blog"
    assert settings.projects_by_key().get(config.hash_key("wrong")) is None


def test_what_may_be_fetched_is_set_in_the_environment_too() -> None:
    environ = {"ANTIPHON_OUTBOUND_ALLOW_PRIVATE": "yes", "ANTIPHON_OUTBOUND_MAX_BYTES": "2048"}

    settings = config.load(environ=environ)

    assert config.Config(data_dir="").outbound == config.Outbound(allow_private=False)
    assert settings.outbound == config.Outbound(allow_private=True, max_bytes=2048)


def test_mcp_servers_are_set_in_the_environment_too() -> None:
    environ = {
        "ANTIPHON_TOOLS_MCP_LIST_SECONDS": "3",
        "ANTIPHON_TOOLS_MCP_RESULT_BYTES": "2048",
        "ANTIPHON_CONNECTORS_CONNECTOR_GMAIL_URL": "https://mail.example.com/mcp",
        "ANTIPHON_CONNECTORS_CONNECTOR_GMAIL_AUTHORIZATION_ENV": "MAIL_TOKEN",
        "ANTIPHON_CONNECTORS_CONNECTOR_GMAIL_HEADERS": '{"X-From": "us"}',
        "ANTIPHON_MCP_SERVERS_MY_FILES_COMMAND": "uvx",
        "ANTIPHON_MCP_SERVERS_MY_FILES_ARGS": "mcp-files, /srv",
        "ANTIPHON_MCP_SERVERS_MY_FILES_ENV": '{"MODE": "read"}',
    }

    settings = config.load(environ=environ)

    assert settings.tools.mcp == config.McpSettings(list_seconds=3.0, result_bytes=2048)
    assert settings.connectors == {
        "connector_gmail": config.Connector(
            url="https://mail.example.com/mcp", authorization_env="MAIL_TOKEN", headers={"X-From": "us"}
        )
    }
    assert settings.mcp_servers == {
        "my_files": config.McpServer(command="uvx", args=["mcp-files", "/srv"], env={"MODE": "read"})
    }


def test_what_the_document_on_mcp_sets_is_what_there_is(write: Write) -> None:
    texts = [block.text for block in blocks("docs/mcp.md", "toml")]

    settings = config.load(write("\n".join(texts)), environ={})

    limits = tomllib.loads(texts[-1])["tools"]["mcp"]
    assert limits == msgspec.structs.asdict(config.McpSettings()), "all of them, with their defaults"
    assert list(settings.connectors) == ["connector_gmail"]
    assert list(settings.mcp_servers) == ["clock"]


def test_an_mcp_server_of_the_file_is_changed_in_the_environment(write: Write) -> None:
    file = write('[mcp_servers.My-Files]\ncommand = "uvx"\nargs = ["a"]')

    settings = config.load(file, environ={"ANTIPHON_MCP_SERVERS_MY_FILES_ENV": '{"TOKEN": "t"}'})

    assert settings.mcp_servers == {
        "My-Files": config.McpServer(command="uvx", args=["a"], env={"TOKEN": "t"})
    }


def test_anthropic_is_where_it_is(write: Write) -> None:
    backend = config.load(write('[backends.a]\ntype = "anthropic"'), environ={}).backends["a"]

    assert (backend.type, backend.base_url) == ("anthropic", None)


def test_what_models_can_do_is_set_for_each_backend() -> None:
    environ = {
        "ANTIPHON_BACKENDS_A_BASE_URL": "http://a/v1",
        "ANTIPHON_BACKENDS_A_CONTEXT_WINDOW": "4096",
        "ANTIPHON_BACKENDS_A_STRUCTURED_OUTPUT": "no",
        "ANTIPHON_BACKENDS_A_TEXT_CALLS": "no",
    }

    backend = config.load(environ=environ).backends["a"]

    assert (backend.context_window, backend.structured_output, backend.text_calls) == (4096, False, False)


@pytest.mark.parametrize("setting", ["structured_output = false", "text_calls = false"])
def test_what_an_embedded_model_can_do_is_not_set(write: Write, setting: str) -> None:
    with pytest.raises(config.ConfigError, match="what it can do need not be said"):
        config.load(write(f'[backends.a]\ntype = "llama"\n{setting}'), environ={})


def test_an_embedded_model_and_its_window_are_set(write: Write) -> None:
    file = write('[backends.a]\ntype = "llama"\nmodel = "hf:a/b"\ncontext_window = 4096')

    backend = config.load(file, environ={}).backends["a"]

    assert (backend.model, backend.context_window) == ("hf:a/b", 4096)


def test_a_model_of_a_server_is_not_named_like_an_embedded_one(write: Write) -> None:
    with pytest.raises(config.ConfigError, match='is for an embedded model, with type = "llama"'):
        config.load(write('[backends.a]\nbase_url = "http://a/v1"\nmodel = "b"'), environ={})


def test_webhooks_are_set_by_name_in_the_file_and_in_the_environment(write: Write) -> None:
    file = write(
        f"""
        [server.keys]
        blog = "{config.hash_key("k")}"
        [webhooks.ci]
        url = "https://ci.example/hook"
        secret_env = "CI_SECRET"
        events = ["response.failed"]
        project = "blog"
        """
    )
    environ = {
        "ANTIPHON_WEBHOOKS_CI_URL": "http://10.0.0.1/hook",
        "ANTIPHON_WEBHOOKS_ON_CALL_URL": "http://10.0.0.2",
        "ANTIPHON_WEBHOOKS_ON_CALL_SECRET": "whsec_x",
        "ANTIPHON_WEBHOOKS_ON_CALL_EVENTS": "response.completed, response.failed",
    }

    assert config.load(file, environ=environ).webhooks == {
        "ci": config.Webhook(
            url="http://10.0.0.1/hook", secret_env="CI_SECRET", events=["response.failed"], project="blog"
        ),
        "on_call": config.Webhook(
            url="http://10.0.0.2", secret="whsec_x", events=["response.completed", "response.failed"]
        ),
    }


def test_a_webhook_sends_every_event_of_every_project_unless_set_otherwise() -> None:
    webhook = config.Webhook(url="http://a", secret="x")

    assert webhook.events == [f"response.{end}" for end in ("completed", "failed", "cancelled", "incomplete")]
    assert webhook.project is None


def test_things_are_kept_as_long_as_on_the_real_api_unless_set_otherwise() -> None:
    environ = {"ANTIPHON_RETENTION_RESPONSES_DAYS": "0", "ANTIPHON_RETENTION_EVENTS_HOURS": "0.5"}

    assert config.Config(data_dir="").retention == config.Retention(
        responses_days=30, events_hours=24, deliveries_days=30, activity_days=90
    )
    assert config.load(environ=environ).retention == config.Retention(responses_days=0, events_hours=0.5)


@pytest.mark.parametrize("name", ["openai-api-key", "openai.key", "9", "lower_case1"])
def test_a_variable_that_is_set_may_have_any_name(name: str, write: Write) -> None:
    file = write(f'[backends.a]\nbase_url = "http://a"\napi_key_env = "{name}"')

    assert config.load(file, environ={name: "sk-secret"}).backends["a"].api_key_env == name


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text("\ufeff[server]\nport = 9000", encoding="utf-8")

    assert config.load(file, environ={}).server.port == 9000


# ---- who may come in ----------------------------------------------------------------------------------


def test_hosts_and_origins_are_lists_in_the_file_and_names_in_the_environment(write: Write) -> None:
    file = write('[server]\nallowed_hosts = ["ai.example.com", "*.a.example", "*", "::1"]')
    environ = {"ANTIPHON_SERVER_ALLOWED_ORIGINS": "https://a.example, tauri://localhost, http://[::1]:3000"}

    server = config.load(file, environ=environ).server

    assert server.allowed_hosts == ["ai.example.com", "*.a.example", "*", "::1"]
    assert server.allowed_origins == ["https://a.example", "tauri://localhost", "http://[::1]:3000"]


@pytest.mark.parametrize(
    "host", ["https://a.example", "a.example:8000", "a.*.example", "A.example", "", "a b"]
)
def test_a_host_that_would_never_fit_is_refused(write: Write, host: str) -> None:
    with pytest.raises(config.ConfigError, match="names without scheme and port"):
        config.load(write(f'[server]\nallowed_hosts = ["{host}"]'), environ={})


@pytest.mark.parametrize(
    "origin",
    ["a.example", "https://a.example/", "https://a.example/app", "https://*.example", "null", "HTTP://a"],
)
def test_an_origin_that_would_never_fit_is_refused(write: Write, origin: str) -> None:
    with pytest.raises(config.ConfigError, match="scheme, host and port"):
        config.load(write(f'[server]\nallowed_origins = ["{origin}"]'), environ={})


def test_the_largest_body_must_fit_into_what_is_held(write: Write) -> None:
    with pytest.raises(config.ConfigError, match=r"held_bytes of .limits. .* at least 67108864"):
        config.load(write("[limits]\nheld_bytes = 1_000_000"), environ={})


def test_a_models_default_effort_is_one_that_it_takes(write: Write) -> None:
    said = 'efforts = ["low", "high"]\nreasoning_effort = '
    assert config.load(write(f'[models.m]\n{said}"high"'), environ={}).models["m"].efforts == ["low", "high"]
    with pytest.raises(config.ConfigError, match="'max', which is not among its efforts"):
        config.load(write(f'[models.m]\n{said}"max"'), environ={})
