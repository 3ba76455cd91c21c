"""Annotations of a server's texts."""

from collections.abc import Mapping
from typing import Any

import msgspec

from antiphon.protocol.content import Annotation, ContainerFileCitation, FileCitation, FilePath, UrlCitation

_TYPES: Mapping[str, tuple[type[Any], tuple[str, ...], Mapping[str, Any]]] = {
    "url_citation": (UrlCitation, ("url",), {"title": "", "start_index": 0, "end_index": 0}),
    "file_citation": (FileCitation, ("file_id",), {"filename": "", "index": 0}),
    "container_file_citation": (
        ContainerFileCitation,
        ("container_id", "file_id"),
        {"filename": "", "start_index": 0, "end_index": 0},
    ),
    "file_path": (FilePath, ("file_id",), {"index": 0}),
}
"""What each becomes, what it must have, and what stands for the rest where that is missing."""
_PLACES = ("index", "start_index", "end_index")


def annotation_of(given: Any, before: int) -> Annotation | None:
    """None: it is none that we know. `before`: characters of the message before the text that it is about."""
    kind, needed, missing = _TYPES.get(_type_of(given), (None, (), {}))
    if kind is None:
        return None
    members = {name: given[name] for name in (*needed, *missing) if given.get(name) is not None}
    try:
        found: Annotation = msgspec.convert({"type": given["type"], **missing, **members}, kind)
    except msgspec.ValidationError:
        return None
    places = [name for name in _PLACES if name in missing]
    moved = {name: max(0, getattr(found, name)) + before for name in places}
    return msgspec.structs.replace(found, **moved)


def _type_of(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else None
    return kind if isinstance(kind, str) else ""
