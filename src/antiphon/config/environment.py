"""The environment variables `ANTIPHON_…`, as a tree of the file's shape."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.inspect import ListType, type_info

from antiphon.config.errors import ConfigError, check_known
from antiphon.config.settings import ALL, NAMED, NESTED, SECTIONS

PREFIX: Final = "ANTIPHON_"
RESOLVED: Final = "ANTIPHON_RESOLVED_CONFIG"
"""Where the command line leaves the whole configuration, as JSON, for the workers that it starts."""
_RESERVED: Final = {RESOLVED, f"{PREFIX}DATA_DIR", f"{PREFIX}CONFIG"}
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off"}


def from_environment(environ: Mapping[str, str], tree: dict[str, Any]) -> dict[str, Any]:
    """What the variables set. Raises `ConfigError`."""
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and variable not in _RESERVED:
            place = _place(variable, tree)
            if place:
                _put(found, place, _value(text, place, variable))
    return found


def _place(variable: str, tree: dict[str, Any]) -> tuple[str, ...]:
    """Which key a variable sets; none when it is no variable of ours."""
    words = variable.removeprefix(PREFIX).lower()
    section = next((each for each in ALL if words.startswith(f"{each}_")), words.partition("_")[0])
    rest = words.removeprefix(f"{section}_")
    if section in SECTIONS:
        return (section, *_key_of(rest, SECTIONS[section], variable))
    if section in NAMED:
        return (section, *_named_place(rest, NAMED[section], tree.get(section, {}), variable))
    if section in NESTED:
        tables = NESTED[section]
        name = next((each for each in tables if rest.startswith(f"{each}_")), rest.partition("_")[0])
        check_known(name, tuple(tables), f"the environment variable {variable}")
        return (section, name, *_key_of(rest.removeprefix(f"{name}_"), tables[name], variable))
    near = difflib.get_close_matches(section, ALL, n=1, cutoff=0.75)
    if near:
        raise ConfigError(
            f"Unknown section in the environment variable {variable}. Did you mean '{near[0]}'?"
        )
    return ()  # other programs' variables may begin like ours


def _key_of(rest: str, kind: type[Struct], variable: str) -> tuple[str, ...]:
    if rest.startswith("keys_") and "keys" in kind.__struct_fields__:
        return ("keys", rest.removeprefix("keys_"))
    check_known(rest, kind.__struct_fields__, f"the environment variable {variable}")
    return (rest,)


def _named_place(rest: str, kind: type[Struct], tables: dict[str, Any], variable: str) -> tuple[str, str]:
    """Splits `my_name_base_url`: the key is the longest one that the rest ends with."""
    endings = [key for key in kind.__struct_fields__ if rest.endswith(f"_{key}")]
    if not endings:
        name, _, key = rest.rpartition("_")
        check_known(key if name else rest, kind.__struct_fields__, f"the environment variable {variable}")
    key = max(endings, key=len)
    name = rest.removesuffix(f"_{key}")
    same = [table for table in tables if re.sub(r"\W", "_", table).lower() == name]
    return (same[0] if same else name, key)


def _put(tree: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for step in place[:-1]:
        tree = tree.setdefault(step, {})
    tree[place[-1]] = value


def _value(text: str, place: tuple[str, ...], variable: str) -> Any:
    """A variable's text as the type that its key has."""
    kind = NESTED[place[0]][place[1]] if place[0] in NESTED else (SECTIONS | NAMED)[place[0]]
    key = place[-1] if place[-1] in kind.__struct_fields__ else ""
    wanted = {field.name: field.type for field in msgspec.structs.fields(kind)}.get(key, str)
    if key in ("models", "engine") or isinstance(type_info(wanted), ListType):
        return _names(text, variable)
    if key in ("keys", "headers", "env"):
        return _json(text, variable)
    if wanted in (bool, bool | str, bool | None) and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The environment variable {variable} has a wrong value: {error}.") from error


def _names(text: str, variable: str) -> Any:
    """`a, b` or JSON."""
    if text.lstrip().startswith(("[", "{")):
        return _json(text, variable)
    return [name.strip() for name in text.split(",") if name.strip()]


def _json(text: str, variable: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError(f"The environment variable {variable} is not JSON: {error}.") from error
