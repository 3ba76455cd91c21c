"""The scripts that bring a database up to date, in a folder for each home; each is run once, in order."""

import re
from importlib.resources import files
from typing import Literal

_NEEDS = re.compile(r"-- needs (\d+)\n")


def scripts_of(home: Literal["sqlite", "postgres"]) -> list[str]:
    """Their texts: the number of the first is 1."""
    folder = files(__name__) / home
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return [script.read_text(encoding="utf-8") for script in scripts]


def needs(script: str) -> int:
    """The number of the last script that a server has to know to bear this one; 0: any will do."""
    found = _NEEDS.match(script)
    return int(found[1]) if found else 0


def newer(done: int, known: int) -> str:
    """Why a database cannot be used."""
    return (
        f"A newer version of Antiphon has changed the database (schema {done}; this version knows {known}) "
        "in a way that this version cannot bear: install that version again, or restore a backup from before."
    )
