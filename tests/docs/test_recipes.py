"""The recipes of CONTRIBUTING.md work when they are followed to the letter."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from openai import OpenAI
from tests.conftest import checked_client
from tests.docs.programs import line
from tests.docs.reading import ROOT, blocks, named, read
from tests.scripted import Upstream

from antiphon.api.backend_setup import MAKERS
from antiphon.config import BackendSettings

GUIDE = "CONTRIBUTING.md"
READY = re.compile(r"listens on (http://\S+)/v1")


def follow(source: Path) -> None:
    """Makes the files of the recipe in a copy of the sources, and the changes to others."""
    for block in blocks(GUIDE, "python"):
        if block.name.startswith("src/"):
            (source / block.name).write_text(block.text, encoding="utf-8")
    for block in blocks(GUIDE, "diff"):
        file = source / block.name
        lines = block.text.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] == "-")
        after = "\n".join(line[1:] for line in lines if line[0] == "+")
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{block.name} does not have the line that the recipe changes"
        file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with what the recipe adds."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    follow(source)
    return source


@contextlib.contextmanager
def served(source: Path, directory: Path) -> Iterator[str]:
    """`antiphon serve` from these sources, with the configuration of the recipe; its address."""
    file = directory / "antiphon.toml"
    file.write_text(named(GUIDE, "echo.toml"), encoding="utf-8")
    options = ["--port", "0", "--config", str(file), "--data-dir", str(directory / "data")]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source / "src"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", *options],
        env=environ,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        try:
            yield address(process)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def address(process: "subprocess.Popen[bytes]") -> str:
    while True:
        if found := READY.search(line(process)):
            return found[1]


def test_the_backend_of_the_recipe_answers(source: Path, tmp_path: Path) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    with served(source, tmp_path) as url, checked_client(url) as client:
        response = client.responses.create(model="echo-1", input="Good morning, everybody.")
        stream = client.responses.create(model="echo-1", input="Good morning.", tools=[tool], stream=True)
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        listed = [model.id for model in client.models.list()]

    assert response.output_text == "Good morning, everybody. "
    assert response.usage
    assert (response.usage.input_tokens, response.usage.output_tokens) == (3, 3)
    assert "".join(deltas) == "Good morning. "
    assert listed == ["echo-1"]


def test_the_backend_of_the_recipe_passes_the_checks_that_all_code_does(source: Path) -> None:
    files = [block.name for block in blocks(GUIDE, "python") if block.name.startswith("src/")]
    assert files == ["src/antiphon/backends/echo.py"]
    shutil.copy(ROOT / "pyproject.toml", source)
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, *files, "src/antiphon/backends/router.py"],
            cwd=source,
            env={"PATH": os.environ["PATH"], "MYPYPATH": "src"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_test_of_the_guide_passes(client: OpenAI, upstream: Upstream) -> None:
    found: dict[str, Any] = {}
    exec(named(GUIDE, "a test"), found)  # a block of our own document

    (test,) = (value for name, value in found.items() if name.startswith("test_"))
    test(client, upstream)


def test_every_type_of_backend_that_can_be_configured_can_be_made() -> None:
    assert set(get_args(get_type_hints(BackendSettings)["type"])) == MAKERS.keys()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)\b", read(GUIDE), re.M))))
def test_every_command_that_the_guide_names_exists(command: str) -> None:
    assert re.search(rf"^{command}:", read("Makefile"), re.MULTILINE)
