"""How the configuration is read, and handed to worker processes."""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
    check(config, where)
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
        return tomllib.loads(path.read_text(encoding="utf-8"))
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
        key = path.removesuffix("`") or "a key"
        raise ConfigError(f"{key} in {where} has a wrong value: {reason[0].lower()}{reason[1:]}.") from error
