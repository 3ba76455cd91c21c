"""Every key of antiphon.toml, as `config/` defines it, as tables for docs/configuration.md."""

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec import inspect as types
from msgspec.structs import FieldInfo, fields

from antiphon import config

_COMPUTED = {"data_dir": "the user's data directory"}
"""Defaults that depend on the machine."""


@dataclass(frozen=True)
class Setting:
    """A key: where it stands (`server`, `backends.NAME`, `tools.mcp`; "" at the top), and what it is."""

    section: str
    field: FieldInfo
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "_".join(("ANTIPHON", *filter(None, self.section.split(".")), self.field.name)).upper()

    @property
    def type(self) -> str:
        return _in_words(types.type_info(self.field.type))

    @property
    def default(self) -> str:
        if not self.section:
            return _COMPUTED[self.field.name]
        if self.field.default_factory is not NODEFAULT:
            return _toml(self.field.default_factory())
        return "required" if self.field.default is NODEFAULT else _value(self.field.name, self.field.default)


@cache
def settings() -> tuple[Setting, ...]:
    """All keys, in the order of the code."""
    return tuple(_settings(config.Config, ""))


def sections() -> list[str]:
    return list(dict.fromkeys(setting.section for setting in settings()))


def table(section: str) -> str:
    """The keys of a section (`top` for those outside all sections)."""
    rows = [setting for setting in settings() if setting.section == section.removeprefix("top")]
    lines = ["| key | type | default | meaning | environment |", "|---|---|---|---|---|"]
    for each in rows:
        cells = (f"`{each.field.name}`", each.type, each.default, each.meaning, f"`{each.variable}`")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


# ---- what the code says ------------------------------------------------------------------------------


def _settings(kind: type[Struct], section: str) -> Iterator[Setting]:
    meanings = _docstrings(kind)
    for field in fields(kind):
        held = types.type_info(field.type)
        path = f"{section}.{field.name}".lstrip(".")
        if isinstance(held, types.StructType):
            yield from _settings(held.cls, path)
        elif isinstance(held, types.DictType) and isinstance(held.value_type, types.StructType):
            yield from _settings(held.value_type.cls, f"{path}.NAME")
        else:
            yield Setting(section, field, meanings.get(field.name, ""))


def _docstrings(kind: type[Struct]) -> dict[str, str]:
    """The docstrings of a class's members, each on one line."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for member, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[member.target.id] = " ".join(text.value.split())
    return found


# ---- in words ----------------------------------------------------------------------------------------


def _in_words(kind: types.Type) -> str:
    match kind:
        case types.Metadata(type=inner):
            return _in_words(inner)
        case types.UnionType(types=members):
            named = [_in_words(each) for each in members if not isinstance(each, types.NoneType)]
            return " or ".join(named)
        case types.BoolType():
            return "boolean"
        case types.IntType() | types.FloatType():
            return ("integer" if isinstance(kind, types.IntType) else "number") + _range(kind)
        case types.ListType(item_type=item):
            return f"list of {_in_words(item)}"
        case types.DictType(value_type=value):
            return f"table of {_in_words(value)}"
        case types.LiteralType(values=values):
            return " or ".join(f"`{json.dumps(value)}`" for value in values)
        case types.StrType():
            return "string"
        case types.DateTimeType():
            return "time"
    raise TypeError(f"no words for {kind}")


def _range(kind: types.IntType | types.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    if kind.ge is not None:
        return f" of at least {kind.ge}"
    return f" above {kind.gt}" if kind.gt is not None else ""


def _value(name: str, value: Any) -> str:
    if value is None:
        return "none"
    mebibytes = value // 2**20 if name.endswith("bytes") else 0
    return _toml(value) + (f" ({mebibytes} MiB)" if mebibytes else "")


def _toml(value: Any) -> str:
    if value in ([], {}):
        return "none"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{msgspec.json.format(msgspec.json.encode(value), indent=0).decode()}`"
