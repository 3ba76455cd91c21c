"""The ledger, as tests and documentation read it. `python -m tests.ledger --write` renews docs/coverage.md.

    @covers("param.truncation")
    def test_...

says that a test proves a row. `ids_of` names many rows at once, for a test that goes through each, and
`case` makes a parameter of a test that proves one row. Which rows have a test is found in the sources of
the tests, without running them.
"""

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COVERAGE = HERE.parent / "docs" / "coverage.md"
DIFFERENCES = HERE.parent / "docs" / "differences.md"
STATES = ("acts", "echoes", "refuses")
NOT_IN_SDK = ("wire", "beta", "gone", "own")
_MEMBERS = {"seed", "does", "why", "differs"}


@dataclass(frozen=True)
class Row:
    id: str
    seed: str
    does: str
    why: str = ""
    differs: str = ""

    @property
    def in_sdk(self) -> bool:
        return self.seed not in NOT_IN_SDK


@cache
def rows() -> Mapping[str, Row]:
    """The rows by their ids."""
    tables = tomllib.loads((HERE / "ledger.toml").read_text(encoding="utf-8"))
    return {row.id: row for row in _rows(tables, "")}


def _rows(table: dict[str, Any], above: str) -> Iterator[Row]:
    for key, value in table.items():
        name = f"{above}.{key}" if above else key
        if "does" in value and isinstance(value["does"], str):
            assert value.keys() <= _MEMBERS, f"{name} has unknown members"
            yield Row(id=name, **value)
        else:
            yield from _rows(value, name)


def kinds() -> list[str]:
    """The tables of the ledger, in its order."""
    return list(dict.fromkeys(kind_of(row_id) for row_id in rows()))


def kind_of(row_id: str) -> str:
    """`item.input.message` is of the kind `item.input`."""
    depth = {"item": 2, "ws": 2, "query": -1, "body": -1}.get(row_id.partition(".")[0], 1)
    return ".".join(row_id.split(".")[:depth])


def key_of(row_id: str) -> str:
    """The id without its kind."""
    return row_id.removeprefix(f"{kind_of(row_id)}.")


# ---- what tests say ---------------------------------------------------------------------------------


def covers(*ids: str) -> pytest.MarkDecorator:
    """Marks a test as the proof of rows."""
    return pytest.mark.covers(*ids)


def case(row_id: str, *values: Any, also: tuple[str, ...] = ()) -> Any:
    """A parameter of a test, with which it proves a row (and others `also`)."""
    return pytest.param(*values, marks=covers(row_id, *also), id=row_id)


def ids_of(prefix: str, does: str = "") -> tuple[str, ...]:
    """The ids of all rows of a kind (or below a row), of those alone that do something."""
    found = [row for row in rows().values() if row.id.startswith(f"{prefix}.") and does in ("", row.does)]
    return tuple(row.id for row in found)


def covered() -> dict[str, list[str]]:
    """The rows that tests say they prove, each with the tests' places."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.rglob("test_*.py")):
        for line, row_id in _named_in(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(row_id, []).append(f"{file.relative_to(HERE)}:{line}")
    return found


def _named_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _name(node.func)
            also = [word.value for word in node.keywords if word.arg == "also"]
            given = {"covers": node.args, "case": [*node.args[:1], *also]}.get(name, [])
            for argument in given:
                yield from ((node.lineno, row_id) for row_id in _ids(argument))


def _ids(argument: ast.expr) -> Iterable[str]:
    match argument:
        case ast.Constant(value=str(row_id)):
            return (row_id,)
        case ast.Starred(value=ast.Call() as call) if _name(call.func) == "ids_of":
            return ids_of(*map(ast.literal_eval, call.args), **_keywords(call))
        case ast.Tuple(elts=elements):
            return [row_id for element in elements for row_id in _ids(element)]
    return ()


def _keywords(call: ast.Call) -> dict[str, Any]:
    return {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


# ---- the page ---------------------------------------------------------------------------------------

_HEAD = """# What this server does of the API

Written from `tests/ledger.toml` by `make docs`; don't edit it here. Each row is proved by a test over the
wire or by a comparison with the types of the official Python SDK.

- **acts**: it does what the API reference says.
- **echoes**: it is checked and accepted, and shown where the reference shows it; nothing else follows.
- **refuses**: a request for it is refused with a 4xx that says so. An event or a field is never sent.

The column *seed* says where a row comes from. `0` to `4`: the reference pages that the project began with,
which are create a conversation (0 Go, 3 Ruby, 4 Java), get an item of a conversation (1 Go), and create a
response (2 Go). *new*: in none of them, but in the SDK's types. *wire*: on the real API's wire, in no type.
*beta*: in the SDK's beta types alone. *gone*: in a
reference page, and in the SDK's types no more. *own*: Antiphon's, the reference has no such thing.
"""

_TITLES = {
    "endpoint": "Endpoints",
    "query": "Query members",
    "body": "Bodies other than that of POST /responses",
    "param": "Parameters of POST /responses",
    "item.input": "Input items of POST /responses",
    "item.output": "Output items",
    "item.conversation": "Items of conversations",
    "part": "Content parts",
    "annotation": "Annotations",
    "tool": "Tools",
    "tool_choice": "Forms of tool_choice",
    "include": "Values of include",
    "event": "Events of a stream",
    "ws.client": "WebSocket: events of the client",
    "ws.server": "WebSocket: events of the server",
    "field": "Fields of the Response object",
    "status": "Statuses of a response",
    "incomplete": "Reasons of incomplete_details",
    "failure": "Codes of a response that failed",
    "header": "Headers",
    "error": "Errors",
    "member": "Members and values in which our types and the SDK's differ",
}


def page() -> str:
    """docs/coverage.md"""
    groups: dict[str, list[Row]] = {}
    for row in rows().values():
        groups.setdefault(_group(row.id), []).append(row)
    sections = [_section(group, held) for group, held in groups.items()]
    return "\n".join([_HEAD, *_summary(groups), *sections])


def _group(row_id: str) -> str:
    kind = kind_of(row_id)
    return kind if kind in _TITLES else kind.partition(".")[0]


def _summary(groups: dict[str, list[Row]]) -> Iterator[str]:
    yield "| | rows | acts | echoes | refuses |\n|---|--:|--:|--:|--:|"
    for group, held in groups.items():
        anchor = "".join(c for c in _TITLES[group].lower().replace(" ", "-") if c.isalnum() or c in "-_")
        yield f"| [{_TITLES[group]}](#{anchor}) | {_counts(held)} |"
    yield f"| **all** | {_counts(list(rows().values()))} |\n"


def _counts(held: list[Row]) -> str:
    count = Counter(row.does for row in held)
    return " | ".join(str(number) for number in (len(held), *(count[state] for state in STATES)))


def _section(group: str, held: list[Row]) -> str:
    lines = [f"## {_TITLES[group]}\n", "| | seed | does | why | how it differs |", "|---|---|---|---|---|"]
    for row in held:
        name = row.id.removeprefix(f"{group}.").replace("|", "\\|")
        lines.append(f"| `{name}` | {row.seed} | {row.does} | {row.why} | {row.differs} |")
    return "\n".join(lines) + "\n"


# ---- the page of differences ------------------------------------------------------------------------

_DIFFERENCES_HEAD = """# Differences from OpenAI

Written from `tests/ledger.toml` by `make docs`; don't edit it here. What is not on this page does what the
API's reference says; [coverage.md](coverage.md) has every row, each proved by a test.

Nothing is ignored in silence. What is *refused* is answered with a 4xx that says so; what only a server says
(an event, a field, a status) and that is *never sent* here is no surprise to a client. Parameters that are
*shown, and do nothing* are checked and come back in the response.
"""
_SERVERS_OWN = ("event", "ws.server", "field", "status", "incomplete", "failure", "item.output", "annotation")
"""Kinds that only a server says."""


def page_of_differences() -> str:
    """docs/differences.md: for who moves a program here, what there is to know."""
    groups: dict[str, list[str]] = {}
    for row in rows().values():
        group = _group(row.id)
        if words := _difference(row, group):
            name = row.id.removeprefix(f"{group}.")
            groups.setdefault(_TITLES[group], []).append(f"- `{name}`: {words}")
    sections = (f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in groups.items())
    return "\n".join([_DIFFERENCES_HEAD, *sections])


def _difference(row: Row, group: str) -> str:
    """In words, or empty where there is none."""
    said = {
        "acts": "",
        "echoes": "shown, and does nothing",
        "refuses": "never sent" if group in _SERVERS_OWN else "refused",
    }[row.does]
    found = f"*{said}*" + (f" ({row.why})" if row.why else "") if said else ""
    return ". ".join(part for part in (found, row.differs) if part)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        for path, text in ((COVERAGE, page()), (DIFFERENCES, page_of_differences())):
            path.write_text(text, encoding="utf-8")
    print(f"{len(rows())} rows, {len(rows().keys() - covered().keys())} without a test")
