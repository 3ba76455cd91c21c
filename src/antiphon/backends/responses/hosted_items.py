"""Items of tools that a server runs itself, read member by member: an odd one costs itself alone, and one
that came up since is left out."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from antiphon.model.image import ImageLook
from antiphon.protocol.hosted_items import (
    ApiSource,
    CodeInterpreterCall,
    FindInPage,
    Image,
    ImageError,
    ImageGenerationCall,
    ImageResult,
    Logs,
    OpenPage,
    Search,
    UrlSource,
    WebSearchCall,
)
from antiphon.protocol.item import Item

Members = Mapping[str, Any]

_LOOKS = ("size", "quality", "background", "output_format")


def hosted_item(kind: str, members: Members) -> Item:
    """What the item of a tool says, without an id. `kind`: the tool's."""
    return _READ[kind](members)


def look(members: Members) -> ImageLook:
    """What a picture is like."""
    return ImageLook(**{name: text(members, name) for name in _LOOKS})


def text(members: Members, name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None


# ---- each of them -----------------------------------------------------------------------------------


def _web_search(members: Members) -> WebSearchCall:
    found = [_image_result(each) for each in _objects(members, "results")]
    return WebSearchCall(
        status=_ended(members),
        action=_action(_object(members, "action")),
        results=[each for each in found if each is not None] or None,
    )


def _code_interpreter(members: Members) -> CodeInterpreterCall:
    outputs = [_output(each) for each in _objects(members, "outputs")]
    return CodeInterpreterCall(
        status=_ended(members),
        container_id=text(members, "container_id") or "",
        code=text(members, "code") or "",
        outputs=[each for each in outputs if each is not None],
    )


def _image_generation(members: Members) -> ImageGenerationCall:
    made = text(members, "result") or None
    failed = _ended(members) != "completed"
    item = ImageGenerationCall(
        status="failed" if failed else "completed",
        result=None if failed else made,
        error=_error(_object(members, "error")),
        revised_prompt=text(members, "revised_prompt"),
    )
    for name in ("action", *_LOOKS):
        if name in members and (value := text(members, name)) is not None:
            _set_if_known(item, name, value)
    return item


_READ: Mapping[str, Callable[[Members], Item]] = {
    "web_search": _web_search,
    "code_interpreter": _code_interpreter,
    "image_generation": _image_generation,
}


def _ended(members: Members) -> Any:
    """How a call has ended that is over. Some servers leave the status of one that went well as it was."""
    status = members.get("status")
    return status if status in ("failed", "incomplete") else "completed"


def _action(members: Members) -> Search | OpenPage | FindInPage | None:
    match members.get("type"):
        case "search":
            queries = [each for each in _list(members, "queries") if isinstance(each, str)]
            query = text(members, "query") or next(iter(queries), None)
            sources = [*_sources(members)] if isinstance(members.get("sources"), list) else None
            return Search(query=query, queries=queries or ([query] if query else None), sources=sources)
        case "open_page":
            return OpenPage(url=text(members, "url"))
        case "find_in_page":
            return FindInPage(url=text(members, "url") or "", pattern=text(members, "pattern") or "")
    return None


def _sources(members: Members) -> Iterator[UrlSource | ApiSource]:
    for source in _objects(members, "sources"):
        if url := text(source, "url"):
            yield UrlSource(url=url)
        elif name := text(source, "name"):
            yield ApiSource(name=name)


def _image_result(members: Members) -> ImageResult | None:
    names = ("image_url", "thumbnail_url", "source_website_url", "caption")
    found = {name: value for name in names if (value := text(members, name)) is not None}
    return ImageResult(**found) if "image_url" in found else None


def _output(members: Members) -> Logs | Image | None:
    if (logs := text(members, "logs")) is not None:
        return Logs(logs=logs)
    url = text(members, "url")
    return Image(url=url) if url else None


def _error(members: Members) -> ImageError | None:
    message = text(members, "message")
    if message is None:
        return None
    kind = text(members, "type") or "server_error"
    return ImageError(type=kind, message=message, code=text(members, "code"), param=text(members, "param"))


def _set_if_known(item: ImageGenerationCall, name: str, value: str) -> None:
    """Set a member, if it may have the value."""
    try:
        read = msgspec.convert({name: value, "type": "image_generation_call"}, ImageGenerationCall)
    except msgspec.ValidationError:
        return
    setattr(item, name, getattr(read, name))


def _object(members: Members, name: str) -> Members:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _objects(members: Members, name: str) -> list[Members]:
    return [each for each in _list(members, name) if isinstance(each, dict)]


def _list(members: Members, name: str) -> list[Any]:
    value = members.get(name)
    return value if isinstance(value, list) else []
