"""How an item is shown: as blocks, each of a kind that `item.html` knows.

What an item is made of is a row of `_SHOWN`; what has none is shown as its JSON. Items come from clients and
models, in any form that the wire takes, so nothing of them is taken for granted.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from antiphon.dashboard import addresses
from antiphon.dashboard.page import environment
from antiphon.dashboard.shown import pretty, web_address

MOST = 100_000
"""Characters of a text that are shown; the JSON of its page has all of it."""
FORMED = 200_000
"""Characters of a page that are shown with their form: what is behind them is shown as it is."""

Kind = Literal["markdown", "code", "plain", "picture", "link", "note"]


class Block(Struct, frozen=True):
    """A part of what is shown. What `text` is, the kind says; of a picture or a link it is what it is called.
    `title`: it is folded, under this."""

    kind: Kind
    text: str = ""
    language: str = ""
    address: str | None = None
    title: str = ""


class Shown(Struct, frozen=True):
    """An item, as it is shown."""

    id: str
    kind: str
    role: str
    name: str
    status: str
    blocks: Sequence[Block]


def shown(item: Any, *, formed: bool = True) -> Shown:
    """`formed`: whether markdown and code are shown as such."""
    item = without_sealed(item)
    kind = _text(item.get("type")) or "message"
    blocks = [_bounded(block, formed) for block in _SHOWN.get(kind, _json)(item)]
    role, name, status = (_text(item.get(member)) for member in ("role", "name", "status"))
    return Shown(_text(item.get("id")), kind, role, name, "" if status == "completed" else status, blocks)


def all_shown(items: Sequence[Any]) -> list[Shown]:
    """The items of a page."""
    found: list[Shown] = []
    left = FORMED
    for item in items:
        found.append(shown(item, formed=left > 0))
        left -= sum(len(block.text) for block in found[-1].blocks)
    return found


def without_sealed(item: Any) -> Any:
    """What is sealed is nobody's to read."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def item_html(item: Any, index: int, *, growing: bool = False) -> str:
    """An item as its page has it. `growing`: more of it comes."""
    template = environment().get_template("item.html")
    return template.render(item=shown(item), index=index, growing=growing)


def _bounded(block: Block, formed: bool) -> Block:
    text, kind, language = block.text, block.kind, block.language
    if len(text) > MOST:
        text = f"{text[:MOST]}\n… {len(text) - MOST:,} characters more"
    if not formed and kind in ("markdown", "code"):
        kind, language = "plain", ""
    return Block(kind, text, language, block.address, block.title)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# ---- parts ------------------------------------------------------------------------------------------


def _parts(content: Any) -> Iterator[Block]:
    """What is in a message, or in the output of a call."""
    if isinstance(content, str):
        yield Block("markdown", content)
        return
    for part in _list(content):
        yield from _part(_dict(part))


def _part(part: dict[str, Any]) -> Iterator[Block]:
    for member in ("text", "refusal"):
        if isinstance(part.get(member), str):
            yield Block("markdown", part[member])
            for annotation in _list(part.get("annotations")):
                yield _citation(_dict(annotation))
            return
    if part.get("type") in ("input_image", "computer_screenshot"):
        yield _picture(part.get("image_url"), part.get("file_id"))
    elif part.get("type") == "input_file":
        yield _file(part)
    else:
        yield Block("code", pretty(part), "json", title=_text(part.get("type")))


def _picture(data: Any, file_id: Any = None) -> Block:
    """Pictures of other servers are links: a page loads nothing from elsewhere."""
    address = addresses.picture(data) or addresses.file(file_id)
    if address is None:
        there = web_address(data)
        return Block("link", there or "a picture", address=there)
    return Block("picture", "a picture", address=address)


def _file(part: dict[str, Any]) -> Block:
    name = _text(part.get("filename"))
    address = addresses.data(part.get("file_data"), name) or addresses.file(part.get("file_id"))
    url = part.get("file_url")
    return Block(
        "link", name or _text(part.get("file_id")) or _text(url) or "a file", "", address or web_address(url)
    )


def _citation(cited: dict[str, Any]) -> Block:
    """It leads to its source."""
    if "url" in cited:
        return Block(
            "link", _text(cited.get("title")) or _text(cited["url"]), address=web_address(cited["url"])
        )
    name = _text(cited.get("filename")) or _text(cited.get("file_id")) or "a source"
    if "container_id" in cited:
        return Block(
            "link", name, address=addresses.container_file(cited["container_id"], cited.get("file_id"))
        )
    return Block("link", name, address=addresses.file(cited.get("file_id")))


# ---- items ------------------------------------------------------------------------------------------


def _message(item: Any) -> Iterator[Block]:
    yield from _parts(item.get("content"))


def _reasoning(item: Any) -> Iterator[Block]:
    for member, title in (("summary", "Summary of the reasoning"), ("content", "Reasoning")):
        texts = [_text(_dict(part).get("text")) for part in _list(item.get(member))]
        if any(texts):
            yield Block("markdown", "\n\n".join(texts), title=title)


def _call(item: Any) -> Iterator[Block]:
    """A call of a function, of a custom tool, or of an MCP server."""
    given = item.get("arguments", item.get("input"))
    if given not in (None, ""):
        yield Block("code", pretty(given), "json")
    if item.get("error") is not None:
        yield Block("note", pretty(item["error"]))
    if isinstance(item.get("output"), str):
        yield Block("code", pretty(item["output"]), "json", title="Output")


def _output(item: Any) -> Iterator[Block]:
    output = item.get("output")
    if isinstance(output, str):
        yield Block("code", pretty(output), "json")
    else:
        yield from _parts(output if isinstance(output, list) else [output])


def _code_interpreter(item: Any) -> Iterator[Block]:
    yield Block("code", _text(item.get("code")), "python")
    for each in map(_dict, _list(item.get("outputs"))):
        yield Block("plain", each["logs"]) if isinstance(each.get("logs"), str) else _picture(each.get("url"))


def _program(item: Any) -> Iterator[Block]:
    yield Block("code", _text(item.get("code")), "javascript")


def _shell(item: Any) -> Iterator[Block]:
    action = _dict(item.get("action"))
    commands = _list(action.get("commands")) or _list(action.get("command"))
    yield Block("code", "\n".join(map(_text, commands)), "bash")


def _shell_output(item: Any) -> Iterator[Block]:
    if not isinstance(item.get("output"), list):
        yield from _output(item)
        return
    for each in map(_dict, item["output"]):
        yield Block("plain", _text(each.get("stdout")) + _text(each.get("stderr")))
        if (outcome := _dict(each.get("outcome"))).get("exit_code") != 0:
            yield Block("note", pretty(outcome))


def _patch(item: Any) -> Iterator[Block]:
    operation = _dict(item.get("operation"))
    yield Block("plain", f"{_text(operation.get('type'))} {_text(operation.get('path'))}")
    yield Block("code", _text(operation.get("diff")), "diff")


def _image_generation(item: Any) -> Iterator[Block]:
    if item.get("result"):
        yield _picture(item["result"])
    if item.get("error") is not None:
        yield Block("note", pretty(item["error"]))
    if prompt := _text(item.get("revised_prompt")):
        yield Block("plain", prompt, title="The prompt")


def _file_search(item: Any) -> Iterator[Block]:
    yield Block("plain", "\n".join(map(_text, _list(item.get("queries")))))
    for each in map(_dict, _list(item.get("results"))):
        yield Block("link", _text(each.get("filename")), address=addresses.file(each.get("file_id")))
        yield Block("plain", _text(each.get("text")), title=f"What it says, score {each.get('score')}")


def _web_search(item: Any) -> Iterator[Block]:
    action = _dict(item.get("action"))
    asked = _list(action.get("queries")) or [
        action.get(m) for m in ("query", "url", "pattern") if action.get(m)
    ]
    yield Block("plain", "\n".join(map(_text, asked)))
    for each in map(_dict, _list(action.get("sources"))):
        yield Block("link", _text(each.get("url")), address=web_address(each.get("url")))


def _json(item: Any) -> Iterator[Block]:
    yield Block("code", pretty(item), "json")


def _folded(item: Any) -> Iterator[Block]:
    """What is long, and seldom looked at."""
    yield Block("code", pretty(item), "json", title="What it has")


_SHOWN: dict[str, Callable[[Any], Iterator[Block]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _call,
    "mcp_call": _call,
    "mcp_approval_request": _call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "local_shell_call_output": _output,
    "apply_patch_call_output": _output,
    "computer_call_output": _output,
    "code_interpreter_call": _code_interpreter,
    "program": _program,
    "shell_call": _shell,
    "local_shell_call": _shell,
    "shell_call_output": _shell_output,
    "apply_patch_call": _patch,
    "image_generation_call": _image_generation,
    "file_search_call": _file_search,
    "web_search_call": _web_search,
    "mcp_list_tools": _folded,
    "compaction": _folded,
}
