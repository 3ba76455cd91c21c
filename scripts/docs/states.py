"""The transition table as diagrams (Mermaid), for docs/internals/."""

from collections.abc import Mapping

from antiphon.stream import table
from antiphon.stream.kinds import KINDS, kind_named

Transitions = Mapping[tuple[str, str], str]


def subjects() -> list[str]:
    """What has a diagram: the response, every type of item that has events of its own, and all others."""
    eventful = (kind.type for kind in KINDS if kind.steps)
    return ["response", *eventful, "other"]


def diagram(subject: str) -> str:
    """The rows of the response or of a type of item."""
    if subject == "response":
        return _mermaid(table.RESPONSE, table.NEW, table.ENDED)
    rows = {(table.OPEN, "response.output_item.done"): table.CLOSED}
    if subject != "other":
        rows = dict(kind_named(subject).rows)
    return _mermaid(rows, table.OPEN, table.CLOSED)


def _mermaid(rows: Transitions, first: str, last: str) -> str:
    names = list(dict.fromkeys(state for (source, _), target in rows.items() for state in (source, target)))
    ids = {name: f"s{number}" for number, name in enumerate(names)}
    arrows: dict[tuple[str, str], list[str]] = {}
    for (source, event), target in rows.items():
        arrows.setdefault((source, target), []).append(_short(event))
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{_short(name)}" as {ids[name]}' for name in names]
    lines.append(f"    [*] --> {ids[first]}")
    lines += [f"    {ids[a]} --> {ids[b]}: {'<br>'.join(said)}" for (a, b), said in arrows.items()]
    return "\n".join([*lines, f"    {ids[last]} --> [*]", "```"])


def _short(event: str) -> str:
    """Colons and the common prefix would only be in the way."""
    return event.removeprefix("response.").replace(":", " of ")
