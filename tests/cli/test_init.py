"""`antiphon init`: a configuration that is right as it is written, whatever is found and answered."""

import asyncio
import contextlib
import re
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.commands import Run, one_sentence, run
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.served import Served
from typer.testing import CliRunner, Result

from antiphon import config
from antiphon.cli import commands, first_config, local_servers
from antiphon.cli.first_config import Key, text_of

__all__ = ["run"]


def models(owner: str, *names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]}


OLLAMA = {"/v1/models": models("library", "qwen3:8b", "llama3.2"), "/api/version": {"version": "0.12"}}
VLLM = {"/v1/models": models("vllm", "gpt-oss-20b"), "/version": {"version": "0.11"}}
EMPTY = {"/v1/models": models("library"), "/api/version": {"version": "0.12"}}
UNKNOWN = {"/v1/models": models("me", "m")}


@contextlib.contextmanager
def model_server(answers: Mapping[str, Any]) -> Iterator[int]:
    """Answers at these paths, on a port that it gives."""

    async def answer(request: Request) -> Response:
        found = answers.get(request.url.path)
        return PlainTextResponse("no", 404) if found is None else JSONResponse(found)

    with Served(Starlette(routes=[Route("/{path:path}", answer)]), log_level="error") as served:
        yield int(served.url.rpartition(":")[2])


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Has servers with these answers where model servers usually are. Gives their ports."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as running:

        def put(*servers: Mapping[str, Any]) -> list[int]:
            ports = [running.enter_context(model_server(answers)) for answers in servers]
            places = tuple((f"server {port}", port) for port in ports)
            monkeypatch.setattr(local_servers.find, "__defaults__", (places,))
            return ports

        put()
        yield put


def init(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(commands.app, ["init", *arguments], input=typed)


def written(path: str = "antiphon.toml") -> config.Config:
    return config.load(Path(path), environ={})


def test_the_first_server_that_is_found_answers_without_a_question(at: Any) -> None:
    (ollama, _) = at(OLLAMA, VLLM)

    done = init("--yes")

    assert done.exit_code == 0, done.output
    (backend,) = written().backends.values()
    assert (backend.base_url, backend.dialect) == (f"http://127.0.0.1:{ollama}/v1", "ollama")
    assert backend.default == "qwen3:8b"
    assert (written().server.host, written().server.needs_key) == ("127.0.0.1", False)
    assert "antiphon serve" in done.output


def test_without_any_server_the_embedded_model_answers(at: Any) -> None:
    assert init("-y").exit_code == 0

    assert [backend.type for backend in written().backends.values()] == ["llama"]


def test_what_was_chosen_is_what_is_written(at: Any) -> None:
    (ollama, _) = at(OLLAMA, VLLM)

    done = init("mine.toml", typed="1\n2\ny\nblog\n")

    assert f"1  Ollama at http://127.0.0.1:{ollama}/v1: qwen3:8b and 1 more" in done.output
    assert "2  vLLM at http://127.0.0.1:" in done.output
    found = written("mine.toml")
    (backend,) = found.backends.values()
    assert backend.default == "llama3.2"
    (key,) = re.findall(r"sk-antiphon-\S+", done.output)
    assert found.server.keys == {"blog": config.hash_key(key)}
    assert key not in Path("mine.toml").read_text(encoding="utf-8")
    assert found.server.host == "0.0.0.0"
    assert "antiphon serve --config mine.toml" in done.output


def test_another_server_is_asked_for(at: Any) -> None:
    done = init(typed="1\nhttps://api.example.com/v1\nEXAMPLE_KEY\nlarge\nn\n")

    assert done.exit_code == 0, done.output
    (backend,) = written().backends.values()
    assert backend.base_url == "https://api.example.com/v1"
    assert (backend.api_key_env, backend.default, backend.dialect) == ("EXAMPLE_KEY", "large", None)


def test_a_number_that_nothing_has_is_asked_for_again(at: Any) -> None:
    done = init(typed="7\nx\n2\nn\n")

    assert done.output.count("it is a number from 1 to 2") == 2
    assert [backend.type for backend in written().backends.values()] == ["llama"]


def test_an_address_that_is_none_is_asked_for_again(at: Any) -> None:
    done = init(typed="1\nlocalhost:11434\nhttp://localhost:11434/v1\n\n\nn\n")

    assert "'localhost:11434' is no URL" in done.output
    assert [each.base_url for each in written().backends.values()] == ["http://localhost:11434/v1"]


def test_a_key_in_the_place_of_its_variable_is_asked_for_again_and_not_repeated(at: Any) -> None:
    done = init(typed="1\nhttp://localhost:11434/v1\nsk-secret\nEXAMPLE_KEY\n\nn\n")

    assert "that is no name of a variable" in done.output
    assert [each.api_key_env for each in written().backends.values()] == ["EXAMPLE_KEY"]


def test_a_variable_that_is_set_may_have_any_name(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("openai-api-key", "sk-secret")

    done = init(typed="1\nhttp://localhost:11434/v1\nopenai-api-key\n\nn\n")

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("answers", "dialect", "default"),
    [(EMPTY, "ollama", True), (UNKNOWN, None, "m"), (VLLM, "vllm", "gpt-oss-20b")],
)
def test_each_kind_of_server_is_taken(at: Any, answers: Any, dialect: str | None, default: Any) -> None:
    at(answers)

    assert init("--yes").exit_code == 0

    (backend,) = written().backends.values()
    assert (backend.dialect, backend.default) == (dialect, default)


@pytest.mark.parametrize("answers", [{}, {"/v1/models": {"data": 7}}, {"/v1/models": [1]}])
def test_what_is_no_model_server_is_not_taken(at: Any, answers: Any) -> None:
    at(answers)

    assert "No model server was found" in init("--yes").output


@pytest.mark.parametrize("path", ["/v1/models", "/openapi.json"])
@pytest.mark.parametrize(("piece", "seconds"), [(b" ", 1.0), (b" " * 2**20, 60.0)], ids=["slowly", "much"])
def test_what_never_ends_its_answer_keeps_nobody_waiting(
    path: str, piece: bytes, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small or large the pieces are that it sends, and whichever question it is."""
    monkeypatch.setattr(local_servers, "_SECONDS_ALTOGETHER", seconds)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield piece
            await asyncio.sleep(0.01)  # the pace of the server: nobody waits for it

    async def answer(request: Request) -> Response:
        if request.url.path == path:
            return StreamingResponse(pieces())
        return (
            JSONResponse(UNKNOWN["/v1/models"]) if request.url.path == "/v1/models" else PlainTextResponse("")
        )

    async def found(port: int) -> Sequence[local_servers.LocalServer]:
        async with asyncio.timeout(60):
            return await local_servers.find([("endless", port)])

    with Served(Starlette(routes=[Route("/{path:path}", answer)]), log_level="error") as served:
        assert asyncio.run(found(int(served.url.rpartition(":")[2]))) == []


def test_an_antiphon_is_not_taken_for_a_model_server(
    at: Any, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(config_for(upstream, tmp_path / "data")) as running:
        port = int(running.url.rpartition(":")[2])
        monkeypatch.setattr(local_servers.find, "__defaults__", ((("vLLM", port),),))

        assert "No model server was found" in init("--yes").output


def test_a_server_on_the_port_of_antiphon_keeps_it(at: Any) -> None:
    assert (
        tomllib.loads(text_of(first_config.Upstream("http://127.0.0.1:8000/v1", port=8000), None))["server"][
            "port"
        ]
        == 8001
    )
    assert (
        tomllib.loads(text_of(first_config.Upstream("http://127.0.0.1:1234/v1", port=1234), None))["server"][
            "port"
        ]
        == 8000
    )


def test_a_file_that_is_there_is_never_written_over_unless_that_is_said(at: Any) -> None:
    Path("antiphon.toml").write_text("mine", encoding="utf-8")

    assert init("--yes").exit_code == 1
    assert Path("antiphon.toml").read_text(encoding="utf-8") == "mine"
    assert init("--yes", "--force").exit_code == 0
    assert written().backends


def test_who_breaks_off_has_nothing_written(at: Any) -> None:
    assert init(typed="2\n").exit_code == 1

    assert not Path("antiphon.toml").exists()


def test_the_key_that_is_shown_as_an_example_lets_nobody_in(at: Any) -> None:
    """Its hash is one that no key is known for."""
    assert f'#main = "sha256:{"0" * 64}"' in text_of(None, None)


@pytest.mark.parametrize("model", [None, 'a"b\\c', "ü😀", "tab\t"])
def test_every_setting_that_could_be_made_can_be(tmp_path: Path, model: str | None) -> None:
    """Each line that is commented out, by itself and all of them together."""
    upstream = first_config.Upstream("http://127.0.0.1:1234/v1", "ollama", model, port=1234)
    for text in (text_of(upstream, None), text_of(upstream, Key("main", "sk")), text_of(None, None)):
        could = re.findall(r"^#\w.*$", text, re.MULTILINE)
        assert len(could) > 6
        ways = [text.replace(line, line[1:]) for line in could] + [re.sub(r"(?m)^#(?=\w)", "", text)]
        for each in (text, *ways):
            file = tmp_path / "antiphon.toml"
            file.write_text(each, encoding="utf-8")
            config.load(file, environ={})
    if model is not None:
        assert tomllib.loads(text_of(upstream, None))["backends"]["main"]["default"] == model


def test_a_url_that_is_none_and_a_place_that_cannot_be_written_are_one_sentence(run: Run) -> None:
    assert "'ftp://x' is no URL" in one_sentence(run("init", "--upstream", "ftp://x", "--yes"))
    said = one_sentence(run("init", "no/such/folder.toml", "--upstream", "http://127.0.0.1:9/v1", "--yes"))
    assert "no/such/folder.toml cannot be written: No such file or directory." in said


def test_a_server_starts_on_what_was_written_and_answers(at: Any, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello.")
    assert init("--yes", "--upstream", upstream.base_url).exit_code == 0
    settings = config.load(Path("antiphon.toml"), environ={"ANTIPHON_DATA_DIR": str(tmp_path / "data")})

    with Running(settings) as running, checked_client(running.url) as client:
        assert client.responses.create(model="anything", input="Hi").output_text == "Hello."
