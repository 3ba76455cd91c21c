"""The pages of clients: what each says to set is set, and its program runs as it stands there."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.clients.node import Node
from tests.clients.python import Python
from tests.conftest import Running
from tests.docs.reading import ROOT, blocks, named, pages, read
from tests.scripted import Answer, Called, Upstream

ADDRESS = "http://127.0.0.1:8000"
"""Where the documents' server listens."""
CALL = Answer(calls=[Called("weather", '{"city": "Bonn"}')], size=4)
RAIN = Answer("It rains in Bonn.", size=4)
RIVER = '{"name": "Loire", "length_km": 1006}'


@pytest.fixture(scope="session")
def openai_3() -> Python:
    python = Python("openai-3")
    python.install()
    return python


@pytest.fixture(scope="session")
def openai_2() -> Python:
    python = Python("openai-2")
    python.install()
    return python


Run = Callable[[str], str]


@pytest.fixture
def in_python(server: Running, tmp_path: Path) -> Run:
    """What the Python of a page prints in our own environment, with the variables that the page sets."""

    def run(page: str) -> str:
        environment = {name: value for block in blocks(page, "sh") for name, value in _exported(block.text)}
        done = subprocess.run(
            [sys.executable, "-c", _program(page, "python", server)],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                **{k: v.replace(ADDRESS, server.url) for k, v in environment.items()},
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _exported(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^export (\w+)=(\S+)", text, re.MULTILINE)


def _program(page: str, language: str, server: Running) -> str:
    text = "\n".join(block.text for block in blocks(page, language))
    return text.replace(ADDRESS, server.url)


def tools_seen(upstream: Upstream) -> list[str]:
    """What the client said that its function came to."""
    return [message["content"] for message in upstream.last.body["messages"] if message["role"] == "tool"]


# ---- OpenAI's own ------------------------------------------------------------------------------------


def test_the_sdk_for_python_answers_and_streams(in_python: Run, upstream: Upstream) -> None:
    upstream.script(Answer("The Loire."), Answer("The Po.", size=3))

    assert in_python("docs/clients/openai.md") == "The Loire.\nThe Po.\n"


def test_the_sdk_for_python_of_an_older_version_does_too(
    openai_2: Python, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("The Loire."), Answer("The Po.", size=3))

    told = openai_2.run(_program("docs/clients/openai.md", "python", server), tmp_path)

    assert told == "The Loire.\nThe Po.\n"


def test_the_sdk_for_javascript_answers_and_streams(
    node: Node, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("The Loire."), Answer("The Po.", size=3))

    told = node.run_text(_program("docs/clients/openai.md", "js", server), tmp_path)

    assert told == "The Loire.\nThe Po.\n"
    assert [message["content"] for message in upstream.last.body["messages"]][1:] == [
        "The Loire.",
        "And one in Italy.",
    ]


def test_an_agent_in_python_calls_its_function(in_python: Run, upstream: Upstream) -> None:
    upstream.script(CALL, RAIN)

    assert in_python("docs/clients/agents-python.md") == "It rains in Bonn.\n"
    assert tools_seen(upstream) == ["Bonn: rain"]


def test_an_agent_in_javascript_calls_its_function(
    node: Node, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(CALL, RAIN)

    told = node.run_text(_program("docs/clients/agents-js.md", "js", server), tmp_path)

    assert told == "It rains in Bonn.\n"
    assert tools_seen(upstream) == ["Bonn: rain"]


def test_codex_works_with_the_configuration_of_its_page(
    node: Node, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    command = Answer(calls=[Called("exec_command", '{"cmd": "ls"}')])
    upstream.script(command, Answer("One file: a.txt."))
    (tmp_path / "a.txt").write_text("a")
    home = tmp_path / ".codex"
    home.mkdir()
    config = named("docs/clients/codex.md", "codex").replace(ADDRESS, server.url)
    # What would call home, and ask people, is off; nothing else differs from the page.
    quiet = ("approval_policy=never", "sandbox_mode=danger-full-access", "check_for_update_on_startup=false")
    options = [word for setting in (*quiet, "analytics.enabled=false") for word in ("-c", setting)]
    (home / "config.toml").write_text(config)
    script = node.packages / "@openai" / "codex" / "bin" / "codex.js"

    told = node.run(
        script,
        *("exec", "--skip-git-repo-check", *options, "What is in this folder?"),
        cwd=tmp_path,
        env={"ANTIPHON_API_KEY": "any"},
    )

    assert told.splitlines()[-1] == "One file: a.txt."
    assert "a.txt" in tools_seen(upstream)[-1]


# ---- others' -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("major", "steps"), [("7", "isStepCount"), ("6", "stepCountIs")])
def test_the_ai_sdk_calls_its_function_and_streams(
    node: Node, server: Running, upstream: Upstream, tmp_path: Path, major: str, steps: str
) -> None:
    upstream.script(CALL, RAIN, Answer("Hello.", size=2))
    program = _program("docs/clients/ai-sdk.md", "js", server).replace("isStepCount", steps)
    installed = program.replace("'ai'", f"'ai{major}'").replace(
        "'@ai-sdk/openai'", f"'@ai-sdk/openai-for-ai{major}'"
    )

    assert node.run_text(installed, tmp_path) == "It rains in Bonn.\nHello.\n"


def test_langchain_runs_an_agent_and_streams(
    openai_3: Python, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(CALL, RAIN, Answer("Hello.", size=2))

    told = openai_3.run(_program("docs/clients/langchain.md", "python", server), tmp_path)

    assert told == "It rains in Bonn.\nHello.\n"


def test_pydantic_ai_calls_its_function_and_gives_a_typed_result(
    openai_3: Python, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(CALL, RAIN, Answer(calls=[Called("final_result", RIVER)]))

    told = openai_3.run(_program("docs/clients/pydantic-ai.md", "python", server), tmp_path)

    assert told == "It rains in Bonn.\nname='Loire' length_km=1006\n"


def test_llama_index_streams_and_runs_an_agent(
    openai_2: Python, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello.", size=2), CALL, RAIN)

    told = openai_2.run(_program("docs/clients/llama-index.md", "python", server), tmp_path)

    assert told == "Hello.\nIt rains in Bonn.\n"


def test_instructor_gives_a_typed_result(
    openai_2: Python, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer(calls=[Called("River", RIVER)]))

    told = openai_2.run(_program("docs/clients/instructor.md", "python", server), tmp_path)

    assert told == "name='Loire' length_km=1006\n"


def test_opencode_does_a_task_with_the_configuration_of_its_page(
    node: Node, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    config = named("docs/clients/opencode.md", "opencode.json").replace(ADDRESS, server.url)
    (tmp_path / "opencode.json").write_text(config)
    (tmp_path / "a.txt").write_text("a")
    upstream.on(lambda body: "title" in json.dumps(body["messages"][0]), Answer("A title"))
    upstream.script(
        Answer(calls=[Called("bash", '{"command": "ls", "description": "Lists files"}')]),
        Answer("One file: a.txt."),
    )

    program = node.packages / "opencode-linux-x64-baseline" / "bin" / "opencode"
    if not program.exists():
        pytest.skip("opencode's program is installed on Linux with x64 alone")
    done = subprocess.run(
        [program, "run", "What is in this folder?"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPENCODE_DISABLE_AUTOUPDATE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout.splitlines()[-1] == "One file: a.txt.", done.stderr


def test_curl_gets_an_answer(server: Running, upstream: Upstream) -> None:
    upstream.script(Answer("Hello."))
    command = named("docs/clients/others.md", "curl").replace(ADDRESS, server.url)

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)

    assert json.loads(done.stdout)["output"][0]["content"][0]["text"] == "Hello."


# ---- the table ---------------------------------------------------------------------------------------


def _installed() -> dict[str, set[str]]:
    """The versions of clients that the tests install, by their names."""
    found: dict[str, set[str]] = {}
    package = json.loads(read("tests/clients/package.json"))
    scripts = {**package["dependencies"], **package["optionalDependencies"]}
    scripts["opencode-ai"] = scripts["opencode-linux-x64-baseline"]
    for name, version in scripts.items():
        real, _, number = version.removeprefix("npm:").rpartition("@")
        found.setdefault(real or name, set()).add(number)
    dev = tomllib.loads(read("pyproject.toml"))["dependency-groups"]["dev"]
    locks = [read(f"tests/clients/python/{name}.txt").splitlines() for name in ("openai-2", "openai-3")]
    for line in [*dev, *locks[0], *locks[1]]:
        if match := re.match(r"([\w.-]+)(?:\[\w+\])?==([\w.]+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_the_versions_that_pages_name_are_those_that_are_tried() -> None:
    installed = _installed()
    every = set().union(*installed.values())
    for page in pages():
        if page.startswith("docs/clients/"):
            for name, version in re.findall(r"(\S+) (\d+\.\d+\.\d+)", read(page)):
                assert version in installed.get(name, every), f"{page}: {name} {version}"


def test_every_page_of_a_client_is_in_the_table_and_has_its_program_run() -> None:
    table = read("docs/clients/README.md")
    tests = Path(__file__).read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "clients").glob("*.md")):
        if page.name != "README.md":
            assert f"]({page.name})" in table
            assert f"docs/clients/{page.name}" in tests
