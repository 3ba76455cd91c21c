"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path | None, typer.Option(help="Where the model and everything stored is kept.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file. Without: ./antiphon.toml.")]
