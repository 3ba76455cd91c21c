"""The command `antiphon init`: a configuration with a word on each setting, written after a few questions."""

import asyncio
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from antiphon import config
from antiphon.cli.first_config import Key, Upstream, text_of
from antiphon.cli.keys import check_project
from antiphon.cli.options import fail, is_url
from antiphon.keys.secret import new_secret

if TYPE_CHECKING:
    from antiphon.cli.local_servers import LocalServer

_EMBEDDED = "SmolLM2-135M-Instruct, a tiny model inside Antiphon: to try it out"
_ANOTHER = "another server"
_SHOWN = 20
"""Models of a server that are listed."""


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is written.")] = Path(config.FILE_NAME),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="The model server. [one that is found on this machine]")
    ] = None,
) -> None:
    """Writes a configuration, after a few questions."""
    if file.exists() and not force:
        fail(f"{file} is there already, and is left as it is. Name another file, or say --force.")
    server = _given(upstream) if upstream else _default_server() if yes else _asked_for_server()
    key = None if yes else _asked_for_key()
    _write(file, text_of(server, key), force)
    _say_next(file, key)


def _write(file: Path, text: str, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.")
    config.load(file, environ={name: "" for name in os.environ if not name.startswith("ANTIPHON_")})


def _say_next(file: Path, key: Key | None) -> None:
    print(f"\n{file} is written: each key is explained there.")
    if key is not None:
        print(f"\nThe key of project {key.project} (it is shown this once):\n\n    {key.secret}")
    option = "" if file == Path(config.FILE_NAME) else f" --config {shlex.quote(str(file))}"
    print(f"\nNext:\n\n    antiphon doctor{option}\n    antiphon serve{option}")


# ---- questions --------------------------------------------------------------------------------------


def _default_server() -> Upstream | None:
    """The first that is found; None: the embedded model."""
    found = _found()
    if not found:
        print("No model server was found on this machine: the tiny model inside Antiphon answers.")
        return None
    print(f"{found[0].name} answers at {found[0].base_url}.")
    return _upstream(found[0], found[0].models[0] if found[0].models else None)


def _asked_for_server() -> Upstream | None:
    found = _found()
    offers = [f"{server.name} at {server.base_url}: {_counted(server.models)}" for server in found]
    chosen = _choice("What is to answer?", [*offers, _ANOTHER, _EMBEDDED])
    if chosen < len(found):
        return _upstream(found[chosen], _asked_for_model(found[chosen].models))
    return _asked_for_address() if chosen == len(found) else None


def _asked_for_address() -> Upstream:
    given = Upstream(typer.prompt("Its URL, with /v1", value_proc=_url))
    key = typer.prompt(
        "The environment variable that holds its key", default="", show_default=False, value_proc=_variable
    )
    model = typer.prompt("Its model for names that it does not know", default="", show_default=False)
    return replace(given, model=model.strip() or None, key_env=key or None)


def _given(url: str) -> Upstream:
    try:
        return Upstream(_url(url))
    except typer.BadParameter as error:
        fail(f"{error}.")


def _url(text: str) -> str:
    """Who is asked for one is asked again."""
    if not is_url(text.strip()):
        raise typer.BadParameter(
            f"'{text}' is no URL: it begins with http:// or https://, as http://127.0.0.1:11434/v1 does"
        )
    return text.strip()


def _variable(text: str) -> str:
    """A key that is given instead is not repeated, nor written to the file."""
    if text.strip() and not config.is_variable(text.strip()):
        raise typer.BadParameter("that is no name of a variable: set one to the key, and give its name here")
    return text.strip()


def _asked_for_model(models: Sequence[str]) -> str | None:
    """The one for names that the server does not know: clients often ask for gpt-5 or the like."""
    if len(models) < 2:
        return models[0] if models else None
    shown = models[:_SHOWN]
    return shown[_choice("Which model answers names that it does not know, such as gpt-5?", shown)]


def _asked_for_key() -> Key | None:
    """None: nobody on other machines is let in."""
    if not typer.confirm("Is it to be reached from other machines?", default=False):
        return None
    project = typer.prompt("A name for the project whose key is made", default="main").strip()
    check_project(project)
    return Key(project, new_secret())


def _choice(question: str, offers: Sequence[str]) -> int:
    print(f"\n{question}\n")
    for number, offer in enumerate(offers, 1):
        print(f"  {number}  {offer}")
    print()

    def chosen(text: str) -> int:
        if not text.strip().isdecimal() or not 1 <= int(text) <= len(offers):
            raise typer.BadParameter(f"it is a number from 1 to {len(offers)}")
        return int(text) - 1

    return int(typer.prompt("Number", default="1", value_proc=chosen))


def _found() -> "Sequence[LocalServer]":
    from antiphon.cli.local_servers import find

    print("Looking for model servers on this machine …")
    return asyncio.run(find())


def _upstream(server: "LocalServer", model: str | None) -> Upstream:
    return Upstream(server.base_url, server.dialect, model, port=server.port)


def _counted(models: Sequence[str]) -> str:
    if not models:
        return "no models yet"
    return f"{models[0]} and {len(models) - 1} more" if len(models) > 1 else models[0]
