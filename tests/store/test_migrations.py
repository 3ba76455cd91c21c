"""Migrations only add: servers of the version before work on, beside those of this one, until the last of
them is replaced."""

import re
from importlib.resources import files

import pytest

_FOLDER = files("antiphon.store") / "migrations"
_FIRST = {"sqlite": "0013", "postgres": "0001"}
"""From here on the rule holds: before there was one server."""
_NEEDS = re.compile(r"-- needs \d+\n").match
"""What a script begins with that says openly which servers cannot go on (postgres/schema.py)."""
_REBUILT = re.compile(r"\bDROP TABLE (\w+); ALTER TABLE \w+ RENAME TO \1;")
"""A table that has its name and its columns again, before anybody else sees it."""
_NEW = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
_BREAKS = {
    "drops": re.compile(r"\bDROP (TABLE|COLUMN|VIEW|TYPE|SCHEMA|CONSTRAINT)\b"),
    "renames": re.compile(r"\bRENAME\b"),
    "changes a type": re.compile(r"\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b"),
    "refuses what was NULL": re.compile(r"\bSET NOT NULL\b"),
    "refuses what was allowed": re.compile(r"\bADD (CONSTRAINT|CHECK|UNIQUE|FOREIGN KEY)\b"),
}
_ADDED = re.compile(r"\bADD (?:COLUMN )?(?!CONSTRAINT|CHECK|UNIQUE|FOREIGN)\w+ [^,;]*")
_UNIQUE = re.compile(r"CREATE UNIQUE INDEX \w+ ON (\w+)")


def broken(script: str) -> list[str]:
    """What a script does that servers of the version before cannot bear."""
    text = " ".join(re.sub(r"--[^\n]*", "", script).upper().split())
    kept = _REBUILT.sub("", text)
    found = [name for name, pattern in _BREAKS.items() if pattern.search(kept)]
    if any("NOT NULL" in added and not _is_filled(added) for added in _ADDED.findall(text)):
        found.append("adds what they do not fill")
    if set(_UNIQUE.findall(text)) - {*_NEW.findall(text), *_REBUILT.findall(text)}:
        found.append("refuses what was allowed twice")
    return found


def _is_filled(added: str) -> bool:
    return "DEFAULT" in added or "GENERATED" in added


def scripts() -> list[tuple[str, str]]:
    found = [(home, file.name) for home in _FIRST for file in (_FOLDER / home).iterdir()]
    return sorted((home, name) for home, name in found if name >= _FIRST[home] and name.endswith(".sql"))


@pytest.mark.parametrize(("home", "name"), scripts())
def test_a_migration_only_adds(home: str, name: str) -> None:
    script = (_FOLDER / home / name).read_text(encoding="utf-8")

    assert _NEEDS(script) or broken(script) == []


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE events;",
        "ALTER TABLE runs\n    DROP COLUMN next;",
        "ALTER TABLE stretches RENAME TO events;",
        "ALTER TABLE runs RENAME COLUMN a TO b;",
        "ALTER TABLE runs ADD COLUMN job BIGINT NOT NULL;",
        "ALTER TABLE runs ADD job INTEGER NOT NULL, ADD COLUMN other TEXT;",
        "ALTER TABLE runs ALTER COLUMN next TYPE TEXT;",
        "ALTER TABLE runs ALTER next SET NOT NULL;",
        "ALTER TABLE runs ADD CONSTRAINT few CHECK (next < 7);",
        "CREATE TABLE more (next INTEGER);\nDROP TABLE runs;\nCREATE INDEX a ON more (next);",
        "CREATE UNIQUE INDEX runs_by_next ON runs (next);",
    ],
)
def test_what_servers_of_the_version_before_cannot_bear_is_seen(script: str) -> None:
    assert len(broken(f"-- A script.\n{script}")) == 1


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE more (name TEXT NOT NULL);\nCREATE UNIQUE INDEX a ON more (name);",
        "ALTER TABLE runs ADD COLUMN job BIGINT; -- DROP TABLE runs",
        "ALTER TABLE runs ADD COLUMN job BIGINT NOT NULL DEFAULT 0;",
        "CREATE INDEX runs_by_job ON runs (job);\nDROP INDEX runs_by_owner;",
        "UPDATE runs SET job = 0;",
        "CREATE TABLE more (next INTEGER);\nDROP TABLE runs;\n\nALTER TABLE more RENAME TO runs;",
    ],
)
def test_what_they_can_is_let_through(script: str) -> None:
    assert broken(script) == []
