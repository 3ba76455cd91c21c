"""What the commands say of themselves."""

from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from antiphon.cli.commands import app


def _commands(command: object, name: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each command by its words, with the texts that explain it and its options."""
    options = getattr(command, "params", [])
    yield name, [text for each in (command, *options) if (text := getattr(each, "help", None))]
    for word, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{name} {word}")


TOLD = dict(_commands(get_command(app)))


@pytest.mark.parametrize("words", TOLD)
def test_help_shows_each_explanation_whole(words: str) -> None:
    said = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "120"}).output

    shown = "".join(char for char in said if char.isalnum())
    for text in TOLD[words]:
        said_whole = "".join(char for char in text if char.isalnum())
        assert said_whole in shown, text


def test_commands_of_the_first_day_come_first() -> None:
    group = get_command(app)

    assert isinstance(group, typer.core.TyperGroup)
    assert list(group.commands)[:4] == ["serve", "pull", "doctor", "init"]
