"""Tools that the model is not offered before it has looked for them, and how they are found.

A tool goes by its path: its name, or `namespace.name`. What the model looks for is a path, the name of a
namespace (all of it is found), or words, which are weighed against names and descriptions (BM25, where a
word in a name counts more than one in a description).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

from msgspec import Struct
from msgspec.structs import replace

from antiphon.protocol.tools import CustomTool, FunctionTool, McpTool, NamespaceTool
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools.names import offered_name, safe_name

_MOST = 5
"""How many tools words find at most."""
_LISTED = 200
"""How many tools are listed; the others are found by words all the same."""
_LINE = 160
"""How long a line of the listing is."""
_NAME_WEIGHT = 3
_SHARE = 0.3
"""What fits less well than this share of the best is left out."""
_IDLE = frozenset(
    re.findall(
        r"\w+",
        "a an and any are at be by can do for from get has have i in is it me my need of on or some that the "
        "to tool use want what which with",
    )
)
"""Words that say nothing of a tool."""
_SATURATION, _LENGTH = 1.2, 0.75  # BM25's k1 and b


class Deferred(Struct, frozen=True):
    """A tool that can be searched for."""

    tool: FunctionTool | CustomTool
    group: NamespaceTool | None = None
    label: str | None = None
    """The server that has it; its group stands for the server then."""

    @property
    def path(self) -> str:
        return f"{self.group.name}.{self.tool.name}" if self.group else self.tool.name

    @property
    def name(self) -> str:
        """The name of its function."""
        if self.label is not None:
            return safe_name(self.tool.name, self.label)
        return offered_name(self.tool.name, self.group.name if self.group else None)

    def words(self) -> Counter[str]:
        """Its words, each with its weight."""
        about = [self.tool.description or "", (self.group and self.group.description) or ""]
        return Counter(_words(self.path) * _NAME_WEIGHT + _words(" ".join(about)))


def listing(tools: Sequence[Deferred]) -> str:
    """A line for each tool: its path, and what it is for."""
    lines = [_line(each.path, each.tool.description) for each in tools[:_LISTED]]
    if len(tools) > _LISTED:
        lines.append(f"and {len(tools) - _LISTED} more: describe what you need")
    return "\n".join(lines)


def find(tools: Sequence[Deferred], wanted: Iterable[str]) -> list[Deferred]:
    """The tools that fit what is wanted, each once, in the order in which they are wanted."""
    found = {each.path: each for want in wanted for each in _named(tools, want) or _about(tools, want)}
    return list(found.values())


def regroup(tools: Iterable[Deferred]) -> list[WireTool]:
    """The tools as entries of `tools`: those of one namespace together."""
    entries: dict[str, WireTool] = {}
    for each in tools:
        if each.group is None:
            entries[each.path] = each.tool
            continue
        if each.label is not None:
            server = entries.get(f"{each.label}:") or McpTool(server_label=each.label, allowed_tools=[])
            assert isinstance(server, McpTool)
            assert isinstance(server.allowed_tools, list)
            names = [*server.allowed_tools, each.tool.name]
            entries[f"{each.label}:"] = replace(server, allowed_tools=names)
            continue
        key = f"{each.group.name}."  # a path never ends so
        group = entries.get(key) or replace(each.group, tools=[])
        assert isinstance(group, NamespaceTool)
        entries[key] = replace(group, tools=[*group.tools, each.tool])
    return list(entries.values())


def _named(tools: Sequence[Deferred], want: str) -> list[Deferred]:
    return [each for each in tools if want in (each.path, each.name, each.group and each.group.name)]


def _about(tools: Sequence[Deferred], want: str) -> list[Deferred]:
    """The best of those that have words in common with what is wanted."""
    texts = [each.words() for each in tools]
    mean = sum(text.total() for text in texts) / len(texts) if texts else 0
    scores = [0.0] * len(tools)
    for word in set(_words(want)):
        holders = sum(word in text for text in texts)
        rarity = log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
        for index, text in enumerate(texts):
            damping = _SATURATION * (1 - _LENGTH + _LENGTH * text.total() / mean)
            scores[index] += rarity * text[word] * (_SATURATION + 1) / (text[word] + damping)
    best = sorted(range(len(tools)), key=lambda index: -scores[index])[:_MOST]
    least = _SHARE * max(scores, default=0)
    return [tools[index] for index in best if scores[index] > 0 and scores[index] >= least]


def _words(text: str) -> list[str]:
    """Words that say something, in lower case and without the ending of a plural; `sendEmail` and
    `send_email` are two each."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    words = re.findall(r"[^\W_]+", parted.lower())
    return [
        word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words if word not in _IDLE
    ]


def _line(path: str, description: str | None) -> str:
    about = " ".join((description or "").split())
    line = f"- {path}: {about}" if about else f"- {path}"
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
