"""The command line, as `cli/` defines it, as tables for docs/configuration.md."""

from pathlib import Path
from typing import Any

import typer

from antiphon.cli.commands import app

_VALUES = {str: "TEXT", int: "N", Path: "PATH"}


def names() -> list[str]:
    """Every command that does something; of a group within a group, `group-command`."""
    return ["-".join(path) for path in _commands(typer.main.get_command(app), ())]


def table(name: str) -> str:
    """Arguments and options of a command."""
    command: Any = typer.main.get_command(app)
    for step in () if name == "antiphon" else name.split("-"):
        command = command.commands[step]
    lines = ["| option | meaning |", "|---|---|"]
    lines += [f"| {_shown(param)} | {_meaning(param)} |" for param in command.params if not _is_help(param)]
    return "\n".join(lines) if len(lines) > 2 else "No options."


def _commands(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    found = [] if below and not getattr(command, "invoke_without_command", False) else [path]
    for name, each in below.items():
        found += _commands(each, (*path, name))
    return found


def _is_help(param: Any) -> bool:
    return "--help" in param.opts


def _shown(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`"
    kind = param.type_descriptor.annotation
    value = "" if kind is bool else f" {param.metavar or _VALUES[kind]}"
    return f"`{' / '.join(param.opts)}{value}`"


def _meaning(param: Any) -> str:
    return str(param.help or "").replace("|", "\\|")
