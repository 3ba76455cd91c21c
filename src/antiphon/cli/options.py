"""What several commands share: their options, and how they end."""

import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from antiphon import config

DataDir = Annotated[Path | None, typer.Option(help="Where the model and everything stored is kept.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file. Without: ./antiphon.toml.")]
Project = Annotated[
    str | None,
    typer.Option(help="Whose files. Needed when [server.keys] has several projects.", metavar="NAME"),
]


def fail(sentence: str) -> NoReturn:
    """Ends the command with a sentence for people."""
    print(f"antiphon: {sentence}", file=sys.stderr)
    raise SystemExit(1)


def is_url(text: str) -> bool:
    """Whether it may be where a server is: who leaves out the scheme is told so at once."""
    return re.match("https?://[^/]", text) is not None


def make_data_dir(settings: config.Config) -> None:
    """Fails when it cannot be made."""
    try:
        Path(settings.data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"The data directory {settings.data_dir} cannot be made: {error.strerror}. Use --data-dir.")
