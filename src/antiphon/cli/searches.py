"""The command `antiphon search`: what a vector store has that answers a question."""

from collections.abc import Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, Project, fail

if TYPE_CHECKING:
    from antiphon.cli.installation import Installation
    from antiphon.retrieval.finder import Found

_MOST = 50


def search(
    store: Annotated[str, typer.Argument(help="The name or id of a store.")],
    question: Annotated[str, typer.Argument(help="What is looked for.")],
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="How many results, the best first.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    project: Project = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Searches a vector store: score, file and text of what is found."""
    from antiphon.cli import installation
    from antiphon.retrieval.embedder import EmbedderError
    from antiphon.retrieval.finder import FinderError

    if not question.strip():
        fail("There is nothing to look for.")
    settings = config.load(config_file, data_dir=data_dir)
    whose = installation.project_of(settings, project)
    try:
        found = installation.run(settings, lambda opened: _found(opened, whose, store, question, limit))
    except (FinderError, EmbedderError) as error:
        fail(str(error))
    if as_json:
        import msgspec

        for each in found:
            print(msgspec.json.encode(each).decode())
    else:
        _show(found)


async def _found(
    installation: "Installation", project: str, name: str, question: str, limit: int
) -> "Sequence[Found]":
    from antiphon.retrieval.finder import Query

    row = await installation.one(project, name)
    return await installation.finder.find(project, [row.id], Query(texts=[question], most=limit))


def _show(found: "Sequence[Found]") -> None:
    if not found:
        print("Nothing was found.")
    for number, each in enumerate(found):
        separator = "\n" if number else ""
        print(f"{separator}{each.score:.4f}  {each.filename}\n")
        print(indent(each.text.strip(), "    "))
