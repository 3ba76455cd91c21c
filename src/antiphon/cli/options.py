"""What several commands share: their options, and how they end."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

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
