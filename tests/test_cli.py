"""The command line as a user meets it: in processes of its own."""

import contextlib
import http.client
import json
import os
import pickle
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.chaos.processes import workers_of
from tests.commands import Run, one_sentence, run
from tests.kept_model import kept_model
from tests.small_disk import fill, make_read_only, mounted
from tests.weights.hub import hub_of

from antiphon import __version__, config
from antiphon.serving import ServeError, listen
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.webhooks import Delivery, Outcome
from antiphon.webhooks.endpoints import key_of

__all__ = ["run"]

Serve = Callable[..., "contextlib.AbstractContextManager[Served]"]


def test_it_prints_its_version(run: Run) -> None:
    done = run("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"antiphon {__version__}\n", "")


def test_without_a_command_it_lists_which_there_are(run: Run) -> None:
    said = run().stdout

    commands = ["serve", "pull", "key", "search", "webhooks", "files"]
    assert [name for name in commands if name in said] == commands


def test_a_new_key_comes_with_the_line_that_lets_it_in(run: Run, tmp_path: Path) -> None:
    said = run("key", "blog-2").stdout

    key = re.search(r"sk-antiphon-\S+", said)
    assert key
    file = tmp_path / "antiphon.toml"
    file.write_text(said[said.index("[server.keys]") :], encoding="utf-8")
    assert config.load(file, environ={}).server.keys == {"blog-2": config.hash_key(key.group())}


def test_two_keys_are_never_the_same(run: Run) -> None:
    assert run("key", "a").stdout != run("key", "a").stdout


def test_a_project_that_toml_cannot_name_is_refused(run: Run) -> None:
    done = run("key", "a b")

    assert done.returncode == 1
    assert done.stderr == "antiphon: A project's name is made of letters, digits, - and _.\n"


def test_an_unknown_key_of_the_configuration_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[server]\nprot = 9000", encoding="utf-8")

    done = run("serve")

    assert done.returncode == 1
    assert done.stderr == (
        "antiphon: Unknown key 'prot' in [server] of antiphon.toml. Did you mean 'port'?\n"
    )


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_begun(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run("serve", "--port", str(port))

    assert done.returncode == 1
    assert done.stderr == (
        f"antiphon: Cannot listen on 127.0.0.1 port {port}: address already in use. "
        "Choose another with --port.\n"
    )
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dialect", "ollama"], "say something of --upstream, which is missing"),
        (["--model", "llama3"], "There is no model 'llama3' here. There are: none."),
        (["--model", "hf:llama3"], "'hf:llama3' names no model. A model is hf:OWNER/REPO,"),
        (["--model", "./none.gguf"], "There is no file"),
        (["--upstream", "localhost:11434"], "--upstream is a URL, such as http://127.0.0.1:11434/v1"),
        (["--upstream", "http://"], "--upstream is a URL, such as http://127.0.0.1:11434/v1"),
        (
            ["--upstream", "http://a/v1", "--upstream-key-env", "NO_SUCH"],
            "NO_SUCH, a variable that is not set",
        ),
        (["--config", "missing.toml"], "missing.toml cannot be read: No such file"),
        (["--data-dir", "/dev/null/x"], "The data directory /dev/null/x cannot be made"),
    ],
)
def test_options_that_cannot_be_followed_are_one_sentence(run: Run, options: list[str], said: str) -> None:
    done = run("serve", *options)

    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_more_workers_than_the_configuration_takes_are_refused(run: Run) -> None:
    done = run("serve", "--workers", "257")

    assert done.returncode == 2
    assert "less than or equal to 256" in done.stderr


def test_a_dialect_that_nobody_speaks_is_one_sentence(run: Run) -> None:
    done = run(
        "serve", ANTIPHON_BACKENDS_A_BASE_URL="http://127.0.0.1:9/v1", ANTIPHON_BACKENDS_A_DIALECT="olama"
    )

    assert done.returncode == 1
    assert done.stderr == "antiphon: Unknown dialect 'olama' of backend 'a'. Did you mean 'ollama'?\n"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            'models = ["qwen"]\nfallbacks = ["nobody"]',
            "fallbacks: 'nobody' is neither a model nor a backend of this server.",
        ),
        (
            'models = ["qwen"]\n[models.qwem]\naliases = ["gpt-4o"]',
            "models.qwem: no backend answers to this name (models of [backends.NAME]).",
        ),
    ],
)
def test_names_to_which_nobody_answers_are_one_sentence(
    run: Run, tmp_path: Path, told: str, said: str
) -> None:
    settings = f'[backends.a]\nbase_url = "http://127.0.0.1:9/v1"\n{told}'
    (tmp_path / "antiphon.toml").write_text(settings, encoding="utf-8")

    assert run("serve").stderr == f"antiphon: {said}\n"
    assert f"FAILED  models: {said.rstrip('.')}" in run("doctor").stdout


def test_a_connector_without_its_token_is_one_sentence(run: Run) -> None:
    named = {
        "ANTIPHON_CONNECTORS_DRIVE_URL": "http://a",
        "ANTIPHON_CONNECTORS_DRIVE_AUTHORIZATION_ENV": "TOKEN",
    }
    done = run("serve", **named)

    assert done.returncode == 1
    assert done.stderr == (
        "antiphon: The token of connector 'drive' is read from TOKEN, a variable that is not set: set it, as "
        "with `export NAME=…`, before the start.\n"
    )


# ---- webhooks ---------------------------------------------------------------------------------------


def test_a_new_secret_is_one_that_can_be_used(run: Run) -> None:
    one, two = run("webhooks", "secret").stdout, run("webhooks", "secret").stdout

    assert len(key_of(one.strip())) == 32
    assert one != two


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {},
            "The secret of webhook 'a' is read from A_SECRET, a variable that is not set: set it, as "
            "with `export NAME=…`, before the start.",
        ),
        (
            {"A_SECRET": "mine"},
            "The secret of webhook 'a' is not one: it does not begin with whsec_."
            " `antiphon webhooks secret` makes one.",
        ),
    ],
)
def test_a_webhook_without_a_secret_is_one_sentence(run: Run, variables: dict[str, str], said: str) -> None:
    hook = {"ANTIPHON_WEBHOOKS_A_URL": "http://a", "ANTIPHON_WEBHOOKS_A_SECRET_ENV": "A_SECRET"}

    done = run("serve", **hook, **variables)

    assert (done.returncode, done.stderr) == (1, f"antiphon: {said}\n")


async def deliver(tmp_path: Path, *outcomes: Outcome) -> None:
    """Deliveries wh_1, wh_2 and so on, each with an outcome."""
    store = await open_sqlite(tmp_path / "data" / "antiphon.db")
    for n, outcome in enumerate(outcomes, 1):
        delivery = Delivery(
            id=f"wh_{n}",
            event_id="evt_1",
            project="default",
            endpoint="hook",
            type="response.completed",
            response_id="resp_1",
            created_at=1_700_000_000 + n,
            body=b"{}",
        )
        await store.webhooks.add([delivery])
        (taken,) = await store.webhooks.take("hook", 1.8e9, 60, 1)
        await store.webhooks.settle(taken, outcome)
    await store.close()


async def test_the_log_of_webhooks_is_a_table_or_json(run: Run, tmp_path: Path) -> None:
    assert run("webhooks").stdout.startswith("No webhook was sent yet (sqlite:///")
    failed = Outcome("failed", 1.7e9, 410, "It answered 410 [gone].")
    await deliver(tmp_path, failed, Outcome("delivered", 1.7e9, 200), Outcome("pending", 4e9, 500, "No."))

    listed = run("webhooks").stdout.splitlines()
    assert listed[0].split() == [
        *("created", "status", "attempts", "endpoint", "event", "delivery", "response", "last", "error")
    ]
    assert [line.split()[2] for line in listed[1:]] == ["pending,", "delivered", "failed"]
    assert listed[3].split(maxsplit=3)[3].split() == [
        *("1", "hook", "response.completed", "wh_1", "resp_1", "It", "answered", "410", "[gone].")
    ]
    assert len(run("webhooks", "--limit", "2").stdout.splitlines()) == 3
    only = [json.loads(line) for line in run("webhooks", "--failed", "--json").stdout.splitlines()]
    assert only == [
        {
            "id": "wh_1",
            "event_id": "evt_1",
            "project": "default",
            "endpoint": "hook",
            "type": "response.completed",
            "response_id": "resp_1",
            "created_at": 1_700_000_001,
            "status": "failed",
            "attempts": 1,
            "next_at": None,
            "ended_at": 1_700_000_000,
            "http_status": 410,
            "error": "It answered 410 [gone].",
        }
    ]


async def test_a_webhook_can_be_had_sent_again(run: Run, tmp_path: Path) -> None:
    await deliver(tmp_path, Outcome("failed", 1.7e9, 410, "It answered 410."))
    hook = {"ANTIPHON_WEBHOOKS_HOOK_URL": "http://a", "ANTIPHON_WEBHOOKS_HOOK_SECRET": "x"}

    unknown = run("webhooks", "redeliver", "wh_none", **hook)
    gone = run("webhooks", "redeliver", "wh_1")
    done = run("webhooks", "redeliver", "wh_1", **hook)

    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert "There is no delivery 'wh_none'." in unknown.stderr
    assert gone.stderr == ("antiphon: It was for the endpoint 'hook', which is not there any more.\n")
    assert done.stdout == "wh_1 is due for 'hook': the server sends it within seconds.\n"
    assert "pending, in 0 s" in run("webhooks").stdout


# ---- a server that runs -----------------------------------------------------------------------------


class Served:
    """A server in a process of its own, which has said that it listens."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.told = ""
        assert process.stdout
        for line in process.stdout:
            self.told += line
            if "print(response.output_text)" in line or "It carries work" in line:
                break
        found = re.search(r"listens on (http://\S+)/v1", self.told)
        assert found, f"it ended instead: {self.told}"
        self.url = found.group(1)

    def ask(self, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())

    def engines(self) -> list[int]:
        """The processes of the embedded model."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True)
        lines = [line.split(None, 2) for line in listed.stdout.splitlines() if "llama_engine" in line]
        return [int(pid) for pid, parent, _command in lines if int(parent) == self.process.pid]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @contextlib.contextmanager
    def serving(*options: str) -> Iterator[Served]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        with subprocess.Popen(
            [sys.executable, "-m", "antiphon", "serve", "--port", "0", *options],
            env={**inherited, "ANTIPHON_DATA_DIR": str(tmp_path / "data"), "TMPDIR": str(tmp_path)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield Served(process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its workers too

    return serving


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_when_it_is_asked_to(serve: Serve, how: signal.Signals) -> None:
    with serve("--upstream", "http://127.0.0.1:9/v1", "--model", "llama3") as server:
        assert server.ask("/healthz") == b"ok\n"
        assert "upstream: http://127.0.0.1:9/v1" in server.told
        assert 'model="llama3"' in server.told

        server.process.send_signal(how)

        assert server.process.wait(30) == 0


def test_it_stops_also_while_its_workers_begin(tmp_path: Path) -> None:
    options = ["--port", "0", "--upstream", "http://127.0.0.1:9/v1", "--workers", "256"]
    with subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", *options, "--data-dir", tmp_path],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,  # of those that were asked to end as they began
        start_new_session=True,
    ) as process:
        try:
            while not (begun := workers_of(process.pid)):
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                begun = [*begun, *workers_of(process.pid)]

            assert process.returncode == 0
            assert len(set(begun)) < 128
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_what_it_says_to_try_has_a_key_where_one_is_needed(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[server]\nrequire_keys = true", encoding="utf-8")

    with serve("--upstream", "http://127.0.0.1:9/v1") as server:
        assert "keys    needed: `antiphon key create NAME` makes one" in server.told
        assert "Bearer $OPENAI_API_KEY" in server.told
        assert "api_key" not in server.told


HOSTED = """
[images]
base_url = "http://127.0.0.1:9/v1"
model = "flux"
[moderation]
judge = "llama-guard"
"""


def test_it_says_what_is_set_up_and_in_one_line_what_is_not(serve: Serve, tmp_path: Path) -> None:
    upstream = ("--upstream", "http://127.0.0.1:9/v1")
    with serve(*upstream) as server:
        bare = server.told
    (tmp_path / "antiphon.toml").write_text(HOSTED, encoding="utf-8")
    with serve(*upstream, "--web-search", "duckduckgo") as server:
        whole = server.told

    assert "  web     not searched (--web-search duckduckgo does)" in bare
    assert "  off     pictures and moderation (antiphon doctor says what turns them on)" in bare
    assert "  web     searched by duckduckgo" in whole
    assert "  images  made by flux at http://127.0.0.1:9/v1" in whole
    assert "  judged  by llama-guard, where requests ask for it" in whole
    assert "  off  " not in whole


def test_several_workers_share_one_port(serve: Serve) -> None:
    with serve("--upstream", "http://127.0.0.1:9/v1", "--workers", "2") as server:
        assert server.ask("/healthz") == b"ok\n"

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(30) == 0


def test_workers_stop_when_their_supervisor_is_killed(serve: Serve) -> None:
    with serve("--upstream", "http://127.0.0.1:9/v1", "--workers", "2") as server:
        port = int(server.url.rpartition(":")[2])
        server.process.kill()
        server.process.wait(30)
        with contextlib.suppress(ConnectionError):
            while True:
                socket.create_connection(("127.0.0.1", port), timeout=30).close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel deals out no connections")
def test_connections_are_dealt_out_among_workers(serve: Serve) -> None:
    with serve("--upstream", "http://127.0.0.1:9/v1", "--workers", "2") as server:
        port = int(server.url.rpartition(":")[2])
        open_ones = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(32)]
        for connection in open_ones:
            _told(connection, "/healthz")
        served = [0]
        while sum(served) < len(open_ones):  # they look twice a second
            served = _held(_told(open_ones[0], "/metrics"))
        for connection in open_ones:
            connection.close()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)

    assert max(served) < len(open_ones), "one worker had all of them"


def _held(metrics: str) -> list[int]:
    """How many connections each worker has."""
    return [int(found) for found in re.findall(r"antiphon_open_connections\{.*\} (\d+)", metrics)]


def _told(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def test_a_second_server_is_not_dealt_what_comes_to_the_workers_of_the_first(serve: Serve, run: Run) -> None:
    with serve("--upstream", "http://127.0.0.1:9/v1", "--workers", "2") as server:
        port = server.url.rpartition(":")[2]
        done = run("serve", "--upstream", "http://127.0.0.1:9/v1", "--port", port, "--workers", "2")

    assert "address already in use" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="connections are dealt out on Linux alone")
def test_a_port_is_taken_before_the_workers_that_it_is_for_have_begun() -> None:
    """While they begin, a model may be loaded: a second server would be dealt half of what comes."""
    with listen(config.Server(port=0, workers=2)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ServeError, match="address already in use"):
            listen(config.Server(port=port, workers=2))
        with pickle.loads(pickle.dumps(first)) as of_a_worker, socket.create_connection(("127.0.0.1", port)):
            of_a_worker.accept()[0].close()


def test_a_host_that_is_not_of_this_machine_is_one_sentence(run: Run) -> None:
    said = one_sentence(run("serve", "--host", "no.such.host.invalid", ANTIPHON_SERVER_REQUIRE_KEYS="true"))

    assert "Cannot listen on no.such.host.invalid port 8000" in said


EVERYWHERE = ("--upstream", "http://127.0.0.1:9/v1", "--host", "0.0.0.0")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ai.example.com", ""])
def test_nothing_is_opened_to_the_network_without_keys(run: Run, host: str, tmp_path: Path) -> None:
    said = one_sentence(run("serve", "--upstream", "http://127.0.0.1:9/v1", "--host", host))

    assert said.startswith(f"antiphon: Everyone who reaches {host or 'this machine'} could use the server")
    for remedy in ("`antiphon key PROJECT`", "require_keys = true", "allow_anybody = true"):
        assert remedy in said
    assert not (tmp_path / "data").exists()


def test_who_wants_it_lets_everybody_in_and_is_warned(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[server]\nallow_anybody = true", encoding="utf-8")
    with serve(*EVERYWHERE) as server:
        assert server.process.stdout
        said = next(line for line in server.process.stdout if line.strip())

    assert "Everyone who can reach this address can use it" in said


@pytest.mark.parametrize("role", ["server", "worker"])
def test_with_keys_and_as_a_worker_it_listens_everywhere(serve: Serve, role: str, tmp_path: Path) -> None:
    if role == "server":
        (tmp_path / "antiphon.toml").write_text("[server]\nrequire_keys = true", encoding="utf-8")
    with serve(*EVERYWHERE, "--role", role) as server:
        assert server.ask("/healthz") == b"ok\n"


@pytest.mark.embedded
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_embedded_model_answers_and_ends_with_its_server(
    serve: Serve, tmp_path: Path, workers: str
) -> None:
    model = kept_model()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(model.parent)

    with serve("--workers", workers) as server:
        answer = json.loads(
            server.ask("/v1/responses", {"model": "any", "input": "Say hi.", "max_output_tokens": 16})
        )
        engines = server.engines()
        server.process.send_signal(signal.SIGTERM)
        ended = server.process.wait(30)

    assert answer["object"] == "response"
    assert answer["usage"]["output_tokens"] > 0
    assert ended == 0
    assert len(engines) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(engines[0], 0)
    assert list(tmp_path.glob("antiphon-*")) == []


@pytest.mark.embedded
def test_a_model_of_a_hub_is_pulled_and_served(run: Run, serve: Serve, tmp_path: Path) -> None:
    weights = kept_model()
    with hub_of({"Own-135M-Q4_1.gguf": weights.read_bytes()}) as hub:
        hub.script.cuts = [50_000_000]
        pulled = run("pull", "hf:owner/tiny-GGUF:Q4_1", HF_ENDPOINT=hub.url)
        listed = run("pull", "--list")

    with serve("--model", "hf:owner/tiny-GGUF:Q4_1") as server:
        models = json.loads(server.ask("/v1/models"))["data"]
        answer = json.loads(
            server.ask("/v1/responses", {"model": "Own-135M", "input": "Say hi.", "max_output_tokens": 16})
        )

    path = tmp_path / "data" / "models" / "hf" / "owner" / "tiny-GGUF" / "Own-135M-Q4_1.gguf"
    assert (pulled.returncode, pulled.stdout) == (0, f"{path}\n")
    assert len(hub.script.ranges) == 2
    assert listed.stdout == f"hf:owner/tiny-GGUF:Own-135M-Q4_1.gguf  98.4 MB  {path}\n"
    assert "Own-135M, embedded: 98.4 MB of weights and" in server.told
    assert [model["id"] for model in models] == ["Own-135M"]
    assert answer["usage"]["output_tokens"] > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("hf:owner/other", "There is no model owner/other at http"),
        ("hf:owner/tiny-GGUF:Q2_K", "Choose one: hf:owner/tiny-GGUF:a-Q4_K_M.gguf"),
        ("qwen", "There is no model 'qwen' here. There are: none."),
        ("hf:../x", "'hf:../x' names no model."),
    ],
)
def test_a_model_that_cannot_be_pulled_is_one_sentence(run: Run, asked: str, said: str) -> None:
    with hub_of({"a-Q4_K_M.gguf": b"a", "b-Q4_K_M.gguf": b"b"}) as hub:
        done = run("pull", asked, HF_ENDPOINT=hub.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# ---- what a server hands on -------------------------------------------------------------------------


def test_programs_that_a_server_starts_do_not_inherit_its_port() -> None:
    code = (
        "import socket; from antiphon.worker import _keep_to_ourselves\n"
        "port = socket.socket(); port.set_inheritable(True)\n"
        "_keep_to_ourselves(); print(port.get_inheritable())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


# ---- data that cannot be used ------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "antiphon.db").write_bytes(b"This is my diary. " * 1000)

    said = one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"))

    assert "file is not a database" in said
    assert str(tmp_path / "data") in said


def test_a_database_of_a_newer_version_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as db:
        db.execute("PRAGMA user_version = 9999")
        db.execute("PRAGMA application_id = 9999")

    assert "A newer version of Antiphon has changed the database (schema 9999;" in one_sentence(
        run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1")
    )


def test_a_store_that_there_is_not_is_one_sentence(run: Run) -> None:
    done = run("serve", "--upstream", "http://127.0.0.1:9/v1", ANTIPHON_STORE_URL="mysql://x")

    assert "not the URL of a store" in one_sentence(done)


def test_a_key_that_is_cut_off_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sealing.key").write_bytes(b"short")

    one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"))


def test_a_data_directory_that_cannot_be_written_is_one_sentence(run: Run, tmp_path: Path) -> None:
    with mounted(tmp_path / "data", megabytes=4) as disk:
        make_read_only(disk)

        said = one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"))

    assert "ead-only file system" in said


def test_a_data_directory_without_room_is_one_sentence(run: Run, tmp_path: Path) -> None:
    with mounted(tmp_path / "data", megabytes=1) as disk:
        fill(disk)

        one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"))
