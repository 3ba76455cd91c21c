"""The dialects of Chat Completions that are known, for docs/configuration.md and docs/servers.md."""

from antiphon.backends.dialects import DIALECTS, Dialect, addresses

_CHOICE = {"full": "yes", "alone": "yes; a name by offering it alone", "auto": "emulated"}
_EFFORT = {
    "": "",
    "both": "`reasoning_effort` and `chat_template_kwargs`",
    "thinking": "`thinking`",
}


def names(_: str) -> str:
    """All of them, in the order of the code."""
    return f"Known dialects: {', '.join(f'`{name}`' for name in DIALECTS)}."


def table(_: str) -> str:
    """What each is known to do."""
    lines = [
        "| dialect | known by | forced calls | JSON schemas | grammars | logprobs | effort goes as | reads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(dialect) for dialect in DIALECTS.values())])


def _row(dialect: Dialect) -> str:
    cells = (
        f"`{dialect.name}`",
        ", ".join(f"`{address}`" for address in addresses(dialect)),
        _CHOICE[dialect.choice],
        "held by it" if dialect.json_schema else "told in words, checked here",
        ", ".join(kind for kind, form in (("lark", dialect.lark), ("regex", dialect.regex)) if form)
        or "checked here",
        "yes" if dialect.logprobs and dialect.logprobs_come else "refused",
        _EFFORT.get(dialect.effort, f"`{dialect.effort}`"),
        ", ".join(_read(dialect)),
    )
    return f"| {' | '.join(cells)} |"


def _read(dialect: Dialect) -> list[str]:
    kinds = (
        ("images", dialect.images),
        ("sound", dialect.audio),
        ("files", dialect.files),
    )
    return ["text", *(kind for kind, is_read in kinds if is_read)]
