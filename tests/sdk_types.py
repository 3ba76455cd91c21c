"""Whether a JSON value is exactly what a type of the official SDK says.

The SDK builds its objects without validation and lets unknown members pass; `check` does neither.
"""

from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from openai import BaseModel
from typing_extensions import TypeAliasType

Json = Any


def check(value: Json, sdk_type: Any) -> list[str]:
    """Every unknown, missing or invalid member of `value`, each with its path; nothing when it fits."""
    found = list(_check(value, sdk_type, "$"))
    return found or _pydantic_errors(value, sdk_type)


def _check(value: Json, kind: Any, path: str) -> Iterator[str]:
    kind = _bare(kind)
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return
    if origin in (Union, UnionType):
        yield from _check_union(value, get_args(kind), path)
    elif origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
            yield f"{path}: {value!r} is none of {', '.join(map(repr, get_args(kind)))}"
    elif origin in (list, dict):
        yield from _check_collection(value, origin, get_args(kind), path)
    elif isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        yield from _check_model(value, kind, path)
    elif not _is_plain(value, kind):
        yield f"{path}: {value!r} is not of type {getattr(kind, '__name__', kind)}"


def _bare(kind: Any) -> Any:
    """The type under annotations, aliases and type variables."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, TypeAliasType):
            kind = kind.__value__
        elif isinstance(kind, TypeVar):
            kind = kind.__bound__ or Any
        else:
            return kind


def _is_plain(value: Json, kind: Any) -> bool:
    if kind is None or kind is NoneType:
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _check_collection(value: Json, origin: type, args: tuple[Any, ...], path: str) -> Iterator[str]:
    if not isinstance(value, dict | list) or not isinstance(value, origin):
        yield f"{path}: {value!r} is not of type {origin.__name__}"
        return
    members: dict[Any, Json] = value if isinstance(value, dict) else dict(enumerate(value))
    for key, member in members.items():
        yield from _check(member, args[-1], f"{path}[{key!r}]")


def _check_model(value: Json, model: type[pydantic.BaseModel], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not an object ({model.__name__})"
        return
    fields = _fields(model)
    for name, member in value.items():
        if name not in fields:
            yield f"{path}.{name}: unknown to {model.__name__}"
        else:
            yield from _check(member, fields[name].annotation, f"{path}.{name}")
    for name, field in fields.items():
        if name not in value and field.is_required():
            yield f"{path}.{name}: missing ({model.__name__})"


@cache
def _fields(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """Its members by the name that they have on the wire."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _check_union(value: Json, variants: tuple[Any, ...], path: str) -> Iterator[str]:
    """What is wrong with the variant that comes nearest: the one with the same constants, then the one
    with the fewest faults."""
    tried = []
    for variant in _flat(variants):
        found = list(_check(value, variant, path))
        if not found:
            return
        tried.append((_strangeness(value, variant), len(found), found))
    yield from min(tried, key=lambda each: each[:2])[2]


def _flat(variants: tuple[Any, ...]) -> Iterator[Any]:
    for variant in map(_bare, variants):
        if get_origin(variant) in (Union, UnionType):
            yield from _flat(get_args(variant))
        else:
            yield variant


def _strangeness(value: Json, variant: Any) -> int:
    """How far a value is from a variant before any look into its members."""
    if get_origin(variant) in (list, dict):
        return 0 if isinstance(value, get_origin(variant)) else 9
    if not (isinstance(variant, type) and issubclass(variant, pydantic.BaseModel)):
        return 9
    if not isinstance(value, dict):
        return 9
    constants = {
        name: get_args(field.annotation)
        for name, field in _fields(variant).items()
        if get_origin(field.annotation) is Literal and name in ("type", "role", "object")
    }
    return sum(value.get(name) not in allowed for name, allowed in constants.items())


@cache
def _adapter(sdk_type: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(sdk_type)


def _pydantic_errors(value: Json, sdk_type: Any) -> list[str]:
    """What pydantic says, for rules that are not in the annotations."""
    try:
        _adapter(sdk_type).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        return [f"$.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return []


def models(sdk_type: Any) -> list[type[BaseModel]]:
    """The models of a union of the SDK."""
    return [model for model in _flat((sdk_type,)) if isinstance(model, type) and issubclass(model, BaseModel)]
