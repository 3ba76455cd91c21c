"""What a type says of JSON, as paths, so that the SDK's types and ours can be compared.

`status`, `status=completed`, `action[exec].command`: a member, a value that it may have, a member of the
object in it whose `type` is `exec`. Types of the SDK (pydantic and TypedDict) and ours (msgspec) read alike.
`=*` marks a place for any text, `=?` one for anything at all.
"""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
import pydantic
from typing_extensions import TypeAliasType, is_typeddict

_WRAPPERS = (Annotated, Required, NotRequired)
_LISTS = ("list", "tuple", "Iterable", "Sequence")


def shape(*kinds: Any, closed: tuple[str, ...] = ()) -> set[str]:
    """All paths of JSON that any of the types allows. What the members `closed` hold is not looked at."""
    found = {path for kind in kinds for path in _shape(kind, "", ())}
    return {path for path in found if not any(_inside(path, name) for name in closed)}


def differences(theirs: set[str], ours: set[str]) -> tuple[set[str], set[str]]:
    """What only they say, and what only we say. Where one side leaves open what stands there, the other
    may say more."""
    free = {path for path in theirs | ours if path.endswith("=*")}
    any_ = {path[:-2].removesuffix("[]") for path in theirs | ours if path.endswith("=?")}

    def is_open(path: str) -> bool:
        place, equals, _ = path.rpartition("=")
        return (equals and f"{place}=*" in free) or any(_inside(path, name) for name in any_)

    return tuple({path for path in side if not is_open(path)} for side in (theirs - ours, ours - theirs))  # type: ignore[return-value]


def _inside(path: str, name: str) -> bool:
    return path.startswith(name) and path[len(name) : len(name) + 1] in (".", "[", "=") and path != name


def tagged(kind: Any, member: str = "type") -> dict[str, list[Any]]:
    """The objects of a union by the value of their `type`; those without one stand under the empty name."""
    found: dict[str, list[Any]] = {}
    for part in variants(kind):
        if is_object(part):
            for tag in tags(part, member) or [""]:
                found.setdefault(tag, []).append(part)
    return found


def values(kind: Any) -> set[Any]:
    """The literal values that a type allows."""
    return {v for part in variants(kind) if get_origin(part) is Literal for v in get_args(part)}


def members(kind: Any) -> dict[str, Any]:
    """The members of an object by the name that they have on the wire."""
    if issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}
    if issubclass(kind, pydantic.BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    hints = get_type_hints(kind, include_extras=True)
    return {_alias(hint) or name: hint for name, hint in hints.items()}


def variants(kind: Any) -> Iterator[Any]:
    """The types of a union, without null."""
    kind = bare(kind)
    if get_origin(kind) in (Union, UnionType):
        for part in get_args(kind):
            yield from variants(part)
    elif kind not in (None, NoneType):
        yield kind


def bare(kind: Any) -> Any:
    """The type under annotations, aliases and type variables."""
    while True:
        if get_origin(kind) in _WRAPPERS:
            kind = get_args(kind)[0]
        elif isinstance(kind, TypeAliasType):
            kind = kind.__value__
        elif isinstance(kind, TypeVar):
            kind = kind.__bound__ or Any
        else:
            return kind


def is_object(kind: Any) -> bool:
    if is_typeddict(kind):
        return True
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct | pydantic.BaseModel)


def tags(kind: Any, member: str = "type") -> list[str]:
    """The values that the member `type` of an object may have."""
    if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag is not None:
        return [str(kind.__struct_config__.tag)]
    held = members(kind).get(member)
    return [value for value in values(held) if isinstance(value, str)] if held is not None else []


def _shape(kind: Any, below: str, within: tuple[frozenset[str], ...]) -> Iterator[str]:
    for part in variants(kind):
        origin = get_origin(part)
        if origin is Literal:
            yield from (f"{below}={value}" for value in get_args(part))
        elif getattr(origin, "__name__", "") in _LISTS:
            yield from _shape(get_args(part)[0], f"{below}[]", within)
        elif part is str:
            yield f"{below}=*"
        elif part in (Any, object, msgspec.Raw) or origin is dict:
            yield f"{below}=?"
        elif is_object(part) and (names := frozenset(members(part))) not in within:
            for tag in tags(part) or [""]:
                yield from _object(part, f"{below}[{tag}]" if tag and below else below, (*within, names))


def _object(kind: Any, below: str, within: tuple[frozenset[str], ...]) -> Iterator[str]:
    if below.endswith("]"):
        yield below
    for name, held in members(kind).items():
        if name == "type" and tags(kind):
            continue
        path = f"{below}.{name}" if below else name
        yield path
        yield from _shape(held, path, within)


def _alias(hint: Any) -> str | None:
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return next((mark.alias for mark in marks if getattr(mark, "alias", None)), None)
