"""The code of the documents runs as a reader would run it: in a process of its own, against a server."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, checked_client, config_for, new_blobs, new_store
from tests.docs.programs import line
from tests.docs.reading import ROOT, blocks, named, pages, read
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.coding import serving as coding
from tests.tools.images_server import ImagesServer
from tests.tools.mcp_servers import Toolset, served
from tests.web.search_server import Entry, SearchServer

from antiphon import __version__, config
from antiphon.config import Config

ADDRESS = "http://127.0.0.1:8000"
"""Where the documents' server listens."""


def program(page: str, changes: Mapping[str, str]) -> str:
    """The Python blocks of a page, one after another, with what is different here put in."""
    text = "\n".join(block.text for block in blocks(page, "python") if not block.name)
    for said, here in changes.items():
        assert said in text, f"{page} does not say {said!r} any more"
        text = text.replace(said, here)
    return text


def printed(
    page: str, running: Running | coding.Coding, changes: Mapping[str, str] | None = None
) -> list[str]:
    """What the Python of a page prints, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", program(page, {ADDRESS: running.url, **(changes or {})})],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextlib.contextmanager
def reachable(settings: Config) -> Iterator[Running]:
    """A server that also calls addresses of this machine."""
    with Running(replace(settings, outbound=config.Outbound(allow_private=True))) as running:
        yield running


# ---- pages with Python -------------------------------------------------------------------------------


def _readme(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer("The Loire."), Answer("The Po.", size=3))

    assert printed("README.md", running) == ["The Loire.", "The Po."]


def _start(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer("The Loire."), Answer("The Loire."))
    (curl,) = (block.text for block in blocks("docs/start.md", "sh") if block.name == "ask")
    told = subprocess.run(
        ["sh", "-c", curl.replace(ADDRESS, running.url)], capture_output=True, timeout=60, check=True
    )

    assert json.loads(told.stdout)["status"] == "completed"
    assert f"\nAntiphon {__version__} listens on {ADDRESS}/v1\n" in read("docs/start.md")
    assert printed("docs/start.md", running) == ["The Loire."]


def _background(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.default = Answer("Once upon a time there was a river that ran to the sea.", size=1)

    lines = printed("docs/background.md", running)

    assert lines[0] == "Once upon a time there was a river that ran to the sea."
    assert lines[1] == "51 response.output_text.delta"
    assert lines[-1].endswith(" response.completed")


def _mcp(upstream: Upstream, running: Running, _: Path) -> None:
    add = Answer(calls=[Called("wiki__add", '{"a": 1, "b": 2}')])
    upstream.script(add, Answer("Three."), add, Answer("Three, with your consent."))
    things = Toolset()
    with served(things.server()) as mcp:
        lines = printed("docs/mcp.md", running, {"https://mcp.example.com/mcp": f"{mcp.url}/mcp"})

    assert lines == ["Three.", "Three, with your consent."]
    assert things.called == ["add", "add"]


def _scaling(upstream: Upstream, running: Running, tmp_path: Path) -> None:
    """A server and a worker, on a PostgreSQL and a bucket that they share."""
    upstream.default = Answer("Once upon a time.")
    shared = replace(config_for(upstream, tmp_path), store=new_store("postgres"), blobs=new_blobs("s3"))
    roles = (config.Server(role=role, verify=True) for role in ("server", "both"))
    one, other = (replace(shared, server=server) for server in roles)
    with Running(one) as first, Running(other) as second:
        lines = printed("docs/scaling.md", first, {"http://127.0.0.1:8001": second.url})

    assert lines == ["Once upon a time."]


def _webhooks(upstream: Upstream, running: Running, _: Path) -> None:
    made, rotated = printed("docs/webhooks.md", running)

    assert re.fullmatch(r"we_[0-9a-f]{48} whsec_\S{44}", made)
    assert re.fullmatch(r"\['Mine'\] whsec_…\S{4}", rotated)


def _prompts(upstream: Upstream, running: Running, tmp_path: Path) -> None:
    (curl,) = blocks("docs/prompts.md", "sh")
    words = shlex.split(curl.text)
    body = json.loads(words[words.index("-d") + 1])
    upstream.script(Answer("Sehr gut."))
    with httpx2.Client(base_url=running.url) as http, checked_client(running.url) as client:
        prompt = http.post(words[1].removeprefix(ADDRESS), json=body).json()
        file = client.files.create(file=("paper.txt", b"On rivers."), purpose="user_data")

    lines = printed("docs/prompts.md", running, {"pmpt_…": prompt["id"], "file-…": file.id})

    assert lines == ["Sehr gut."]
    system, user = upstream.last.body["messages"]
    assert system["content"] == "You review papers in German."
    assert "On rivers." in json.dumps(user)


def _state(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer("Hello."), Answer("Ada."), Answer("Hello."), Answer("Grace."))

    lines = printed("docs/state.md", running)

    assert lines == ["Ada.", "Grace.", *["message user", "message assistant"] * 2]
    assert [message["content"] for message in upstream.last.body["messages"]] == [
        "My name is Grace.",
        "Hello.",
        "What is my name?",
    ]


def _agents(upstream: Upstream, running: Running, _: Path) -> None:
    begun = {"role": "user", "content": "Message from the agent /root to you, /root/alpha:\nLook at Alpha."}
    upstream.on(lambda body: body["messages"][-1] == begun, Answer("Alpha is fast."))
    upstream.on(lambda body: "Alpha is fast." in str(body["messages"]), Answer("Take Alpha."))
    spawn = Called("spawn_agent", '{"task_name": "alpha", "message": "Look at Alpha."}')
    upstream.script(Answer(calls=[spawn, Called("wait_agent")]))

    assert printed("docs/agents.md", running) == ["Take Alpha."]


def _steering(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer("One, two, three", size=5, gate=Gate(after=3)), Answer("Un, deux, trois."))

    assert printed("docs/steering.md", running) == ["steered", "Un, deux, trois."]


def _files(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer("By two metres."))

    assert printed("docs/files.md", running) == ["By two metres."]
    assert "The river rose by two metres." in json.dumps(upstream.last.body["messages"])


def _tools(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer(calls=[Called("weather", '{"city": "Paris"}')]), Answer("The sky is clear."))

    assert printed("docs/tools.md", running) == ["The sky is clear."]
    assert upstream.last.body["messages"][-1]["content"] == '{"city": "Paris", "sky": "clear"}'


def _programs(upstream: Upstream, running: Running, _: Path) -> None:
    (block,) = blocks("docs/programs.md", "js")
    program = Called("run_program", json.dumps({"code": block.text}))
    upstream.script(Answer(calls=[program]), Answer("The nut."))

    assert printed("docs/programs.md", running) == ["The nut."]
    assert upstream.last.body["messages"][-1]["content"] == "bolt: 140\nnut: 96\nwasher: 301"


def _structured_output(upstream: Upstream, running: Running, _: Path) -> None:
    upstream.script(Answer('{"name": "Loire", "length_km": 1006}'))

    assert printed("docs/structured-output.md", running) == ["name='Loire' length_km=1006"]
    assert upstream.last.body["response_format"]["type"] == "json_schema"


def _neighbours(upstream: Upstream, running: Running, _: Path) -> None:
    vectors = [{"object": "embedding", "index": n, "embedding": [0.5]} for n in range(2)]
    embedded = {
        "object": "list",
        "model": "e",
        "data": vectors,
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    whole = [json.dumps(embedded).encode()]
    upstream.script(Answer("The Loire.", size=3), Answer(raw=whole, content_type="application/json"))

    assert printed("docs/neighbours.md", running) == ["The Loire.", "2"]
    assert upstream.last.body["model"] == "your-embedder"


def _file_search(upstream: Upstream, running: Running, _: Path) -> None:
    query = {"queries": ["How long is the Loire?"]}
    search = Answer(calls=[Called("file_search", json.dumps(query))])
    upstream.script(search, Answer("1,006 kilometres 【1】."), search, Answer("I do not know."))

    assert printed("docs/file-search.md", running) == [
        "1,006 kilometres .",
        "rivers.md at 17",
        "['How long is the Loire?'] ['rivers.md']",
    ]
    assert "The Loire is 1,006 kilometres long." in json.dumps(upstream.last.body["messages"])


def _web_search(upstream: Upstream, _: Running, tmp_path: Path) -> None:
    entry = Entry("https://boats.example.com/why", "Why boats float", "They push water away.")
    upstream.script(Answer(calls=[Called("web_search", '{"query": "why boats float"}')]), Answer("So【1】."))
    with SearchServer([entry]) as engine:
        settings = config.WebSearchSettings(engine="searxng", url=engine.url)
        searched = replace(config_for(upstream, tmp_path / "web"), tools=config.Tools(web_search=settings))
        with Running(searched) as running:
            lines = printed("docs/web-search.md", running)

    assert lines == ["So ([boats.example.com](https://boats.example.com/why)).", "Why boats float at 3"]


def _image_generation(upstream: Upstream, _: Running, tmp_path: Path) -> None:
    draw = Answer(calls=[Called("image_generation", '{"prompt": "A lighthouse"}')])
    change = Answer(calls=[Called("image_generation", '{"prompt": "At night", "edit": true}')])
    upstream.script(draw, Answer(""), change, Answer(""))
    with ImagesServer("vllm_omni") as images:
        made = config.Images(base_url=images.base_url, model="Qwen/Qwen-Image")
        with Running(replace(config_for(upstream, tmp_path / "images"), images=made)) as running:
            lines = printed("docs/image-generation.md", running)

    assert lines == ["1024x1024 png True A lighthouse", "1024x1024 png True At night"]
    assert images.last.path == "/v1/images/edits"


def _moderation(upstream: Upstream, _: Running, tmp_path: Path) -> None:
    judge, server = (
        config.load(file, environ={}).moderation for file in _tomls("docs/moderation.md", tmp_path)
    )
    assert (judge.judge, server.model) == ("llama-guard3", "omni-moderation-latest")
    upstream.on(lambda body: "idiot" in json.dumps(body), Answer("unsafe\nS5"))
    upstream.on(lambda body: "take a pipe" in json.dumps(body), Answer("unsafe\nS9"))
    upstream.on(lambda body: body["model"] == "llama-guard3", Answer("safe"))
    upstream.script(Answer("First take a pipe."))
    with Running(replace(config_for(upstream, tmp_path / "judged"), moderation=judge)) as running:
        lines = printed("docs/moderation.md", running)

    assert lines == ["True True", "incomplete content_filter []", "False True"]


def _tomls(page: str, tmp_path: Path) -> Iterator[Path]:
    """The configurations of a page, each as a file."""
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.text, encoding="utf-8")
        yield file


def _vector_stores(_: Upstream, running: Running, __: Path) -> None:
    heading, empty, found = printed("docs/vector-stores.md", running)
    assert heading.endswith("rivers.md # The Loire")
    assert (empty, found) == ("", "The Loire is 1,006 km long.")


def _code_interpreter(upstream: Upstream, _: Running, tmp_path: Path) -> None:
    code = "import pathlib\npathlib.Path('/mnt/data/squares.csv').write_text('1,4,9')\nprint('written')"
    link = "Here: [squares](sandbox:/mnt/data/squares.csv)."
    upstream.script(Answer(calls=[Called("python", json.dumps({"code": code}))]), Answer(link))
    with coding.served(upstream, tmp_path / "code") as running:
        lines = printed("docs/code-interpreter.md", running)

    assert lines == [*code.splitlines()[:-1], "print('written') ['logs']", link, "squares.csv 5 bytes"]


def _shell(upstream: Upstream, _: Running, tmp_path: Path) -> None:
    version = Answer(calls=[Called("shell", '{"commands": ["echo Python 3 | tee version"]}')])
    left = Answer(calls=[Called("shell", '{"commands": ["ls"]}', "call_left")])
    upstream.script(version, Answer("Three."), left, Answer("A file."), Answer("One."), Answer("Two."))
    with coding.served(upstream, tmp_path / "code") as running:
        lines = printed("docs/shell.md", running)

    assert lines[0] == "['echo Python 3 | tee version']"
    assert lines[1] == "Python 3"
    assert "exit_code=0" in lines[2]
    assert lines[-4:] == ["Three.", "A file.", "One.", "Two."]
    assert "- haiku: Writes haikus. (/home/oai/skills/haiku-" in json.dumps(upstream.last.body["tools"])


def _containers(_: Upstream, running: Running, __: Path) -> None:
    path, file = printed("docs/containers.md", running)
    assert re.fullmatch("/mnt/data/[0-9a-f]{32}-rivers.csv", path)
    assert file == "user 20 Loire,1006"


def _skills(_: Upstream, running: Running, __: Path) -> None:
    assert printed("docs/skills.md", running) == ["greeting 1", "2 2"]


def _keys(upstream: Upstream, running: Running, tmp_path: Path) -> None:
    upstream.default = Answer("Hello.")
    (command,) = blocks("docs/keys.md", "sh")
    words = [sys.executable, "-m", *shlex.split(command.text), "--data-dir", str(tmp_path)]
    made = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    (key,) = re.findall(r"sk-antiphon-\S+", made)

    assert printed("docs/keys.md", running, {"sk-antiphon-…": key}) == [
        "Hello. 1",
        "Hello. 0",
        "rate_limit_exceeded 2",
    ]


PAGES: dict[str, Callable[[Upstream, Running, Path], None]] = {
    "README.md": _readme,
    "docs/agents.md": _agents,
    "docs/start.md": _start,
    "docs/background.md": _background,
    "docs/code-interpreter.md": _code_interpreter,
    "docs/containers.md": _containers,
    "docs/keys.md": _keys,
    "docs/mcp.md": _mcp,
    "docs/programs.md": _programs,
    "docs/prompts.md": _prompts,
    "docs/state.md": _state,
    "docs/files.md": _files,
    "docs/file-search.md": _file_search,
    "docs/image-generation.md": _image_generation,
    "docs/moderation.md": _moderation,
    "docs/neighbours.md": _neighbours,
    "docs/tools.md": _tools,
    "docs/scaling.md": _scaling,
    "docs/shell.md": _shell,
    "docs/skills.md": _skills,
    "docs/steering.md": _steering,
    "docs/structured-output.md": _structured_output,
    "docs/vector-stores.md": _vector_stores,
    "docs/web-search.md": _web_search,
    "docs/webhooks.md": _webhooks,
}


def test_every_page_with_python_is_run() -> None:
    """Those of clients are run with their clients: `tests/clients/test_client_pages.py`."""
    with_python = {page for page in pages() if any(not block.name for block in blocks(page, "python"))}

    assert {page for page in with_python if not page.startswith("docs/clients/")} == PAGES.keys()


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, upstream: Upstream, tmp_path: Path) -> None:
    with reachable(config_for(upstream, tmp_path)) as running:
        PAGES[page](upstream, running, tmp_path)


def test_the_copy_of_the_page_moves_a_server_to_its_new_homes(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    old = config_for(upstream, tmp_path / "data")
    new = replace(old, data_dir=str(tmp_path / "new"), store=new_store("postgres"), blobs=new_blobs("s3"))
    with Running(old) as running, checked_client(running.url) as client:
        response = client.responses.create(model="m", input="Hi")
        file = client.files.create(file=("a.txt", b"On rivers."), purpose="user_data")
    (block,) = (block for block in blocks("docs/scaling.md", "sh") if "antiphon copy" in block.text)
    command = block.text
    for said, here in {
        "sqlite:////var/lib/antiphon/antiphon.db": old.store_url,
        "postgresql://antiphon:…@db.internal/antiphon": new.store_url,
        "file:///var/lib/antiphon/files": f"file://{tmp_path}/data/files",
        "s3://antiphon-files/production": str(new.blobs.url),
    }.items():
        assert said in command
        command = command.replace(said, here)

    words = [sys.executable, "-m", *shlex.split(command), "--data-dir", str(tmp_path / "data")]
    assert (
        "sealing.key" in subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    )
    with Running(new) as running, checked_client(running.url) as client:
        assert client.responses.retrieve(response.id) == response
        assert client.files.content(file.id).read() == b"On rivers."


# ---- programs beside the server ----------------------------------------------------------------------


def test_the_mcp_server_of_the_document_tells_the_time(upstream: Upstream, tmp_path: Path) -> None:
    script = tmp_path / "clock.py"
    script.write_text(named("docs/mcp.md", "clock.py"), encoding="utf-8")
    clock = config.McpServer(command=sys.executable, args=[str(script)])
    upstream.script(Answer(calls=[Called("clock__now")]), Answer("Late."))
    with (
        Running(replace(config_for(upstream, tmp_path), mcp_servers={"clock": clock})) as running,
        checked_client(running.url) as client,
    ):
        tool = {"type": "mcp", "server_label": "clock", "require_approval": "never"}
        response = client.responses.create(model="m", input="What time is it?", tools=[tool])

    (call,) = (item for item in response.output if item.type == "mcp_call")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", call.output or "")


def test_the_receiver_of_the_document_gets_the_event(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + "A" * 43 + "=")
    source = named("docs/webhooks.md", "receiver.py").replace('("127.0.0.1", 9000)', '("127.0.0.1", 0)')
    upstream.script(Answer("Done."))
    with subprocess.Popen(
        [sys.executable, "-u", "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as receiver:
        try:
            url = f"http://127.0.0.1:{line(receiver).removeprefix('listening on port ')}/hook"
            file = tmp_path / "antiphon.toml"
            (toml,) = blocks("docs/webhooks.md", "toml")
            assert "http://127.0.0.1:9000/hook" in toml.text
            file.write_text(toml.text.replace("http://127.0.0.1:9000/hook", url), encoding="utf-8")
            webhooks = config.load(file, environ={}).webhooks
            with (
                Running(replace(config_for(upstream, tmp_path), webhooks=webhooks)) as running,
                checked_client(running.url) as client,
            ):
                response = client.responses.create(model="m", input="Hi", background=True)
                assert line(receiver) == f"response.completed {response.id}"
        finally:
            receiver.kill()


# ---- configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in pages() if blocks(page, "toml")])
def test_every_setting_that_a_page_shows_is_one(page: str, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        if not block.name:
            file = tmp_path / "antiphon.toml"
            file.write_text(block.text, encoding="utf-8")
            assert config.load(file, environ={}) != config.load(environ={"XDG_DATA_HOME": str(tmp_path)})


def test_every_block_of_code_says_what_it_is() -> None:
    for page in pages():
        fences = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if "```" in line]
        assert all(fence != "```" for fence in fences[::2]), page
        assert all(fence == "```" for fence in fences[1::2]), page
