"""How the configuration is read, and handed to worker processes."""

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from antiphon.config.checks import check
from antiphon.config.environment import PREFIX, RESOLVED, from_environment
from antiphon.config.errors import ConfigError, check_known
from antiphon.config.settings import NAMED, NESTED, SECTIONS, TOP, Config

FILE_NAME: Final = "antiphon.toml"


def load(
    file: Path | None = None, environ: Mapping[str, str] = os.environ, data_dir: Path | None = None
) -> Config:
    """The configuration from a file (given, or `ANTIPHON_CONFIG`, or `antiphon.toml` in the working
    directory when there is one) and the environment. Raises `ConfigError`."""
    path = _find(file, environ)
    tree = _read(path) if path else {}
    where = str(path) if path else "the environment"
    _check_keys(tree, where)
    config = _convert(_merge(tree, from_environment(environ, tree)), where)
    directory = data_dir or _given_directory(config.data_dir, environ)
    directory = (directory or default_data_dir(environ)).expanduser().absolute()
    config = msgspec.structs.replace(config, data_dir=str(directory))
    check(config, where, environ)
    return config


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where data is kept on this kind of machine."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "antiphon"
    base = environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "antiphon"


def dump(config: Config) -> str:
    """For `RESOLVED`."""
    return msgspec.json.encode(config).decode()


def resolved(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the command line left for its workers."""
    return msgspec.json.decode(environ[RESOLVED], type=Config)


def _find(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is None and f"{PREFIX}CONFIG" in environ:
        file = Path(environ[f"{PREFIX}CONFIG"])
    if file is not None:
        return file
    here = Path(FILE_NAME)
    return here if here.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not TOML: {error}.") from error


def _given_directory(in_file: str, environ: Mapping[str, str]) -> Path | None:
    given = environ.get(f"{PREFIX}DATA_DIR") or in_file
    return Path(given) if given else None


# ---- keys ---------------------------------------------------------------------------------------------


def _check_keys(tree: dict[str, Any], where: str) -> None:
    for key, value in tree.items():
        check_known(key, TOP, where)
        if key in SECTIONS:
            _check_table(value, SECTIONS[key], f"[{key}]", where)
        elif key in NAMED:
            for name, table in _table(value, f"[{key}]", where).items():
                if name in NAMED[key].__struct_fields__ and not isinstance(table, dict):
                    raise ConfigError(f"{name} in {where} belongs into [{key}.NAME], with a name of yours.")
                _check_table(table, NAMED[key], f"[{key}.{name}]", where)
        elif key in NESTED:
            for name, table in _table(value, f"[{key}]", where).items():
                check_known(name, tuple(NESTED[key]), f"[{key}] of {where}")
                _check_table(table, NESTED[key][name], f"[{key}.{name}]", where)


def _check_table(value: Any, kind: type[Struct], section: str, where: str) -> None:
    for key in _table(value, section, where):
        check_known(key, kind.__struct_fields__, f"{section} of {where}")


def _table(value: Any, section: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{section} of {where} must be a table of keys.")
    return value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _convert(tree: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert({"data_dir": "", **tree}, Config)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = path.removesuffix("`")
        said = f"{reason[0].lower()}{reason[1:]}{_known(key, reason)}"
        raise ConfigError(f"{_named(key, tree) or 'a key'} in {where} has a wrong value: {said}.") from error


def _named(key: str, tree: dict[str, Any]) -> str:
    """The key with the name of its section, of which the error says only that there is one."""
    section, several, member = key.partition("[...]")
    if not several or section not in NAMED:
        return key
    for name, table in tree[section].items():
        try:
            msgspec.convert(table, NAMED[section])
        except msgspec.ValidationError:
            return f"{section}.{name}{member}"
    return key


def _known(key: str, reason: str) -> str:
    """What a key takes, where that is not in the reason."""
    if "sha256" in reason:
        return ". `antiphon key PROJECT` makes a key and its line"
    if "enum value" not in reason:
        return ""
    kind: Any = Config
    for part in re.sub(r"\[[^]]*\]", "", key).split("."):
        kind = get_type_hints(kind)[part]
        kind = next((each for each in _within(kind) if hasattr(each, "__struct_fields__")), kind)
    values = [value for each in _within(kind) for value in get_args(each)]
    return f". Known are {', '.join(sorted(values))}"


def _within(kind: Any) -> Iterator[Any]:
    """The types of which a type is made; a `Literal` is one."""
    parts = () if get_origin(kind) is Literal else get_args(kind)
    yield from (leaf for part in parts for leaf in _within(part)) if parts else [kind]
