"""Says what is wrong with JSON that does not fit a type.

msgspec decides what is legal, fast and in C, and its errors are its own. Only when it refuses is the
same JSON looked at here, against the same types, in the order in which the API checks, and the first
fault is raised in the API's words. There is no second schema: each part of a type is read as a `Form`,
and a form knows the JSON that it fits, how it is called in a message, and what to look at inside.

Of an object, members that are missing are reported first, then unknown ones, then the faults of each member
in the order in which the type declares them.
"""

import re
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Protocol, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, one_of
from antiphon.protocol.expectations import ALLOWED_MEMBERS, EXPECTED, FAMILIES, NAMED_ITEMS, NAMED_VALUES
from antiphon.protocol.item import InputItem
from antiphon.protocol.items import MESSAGE_ROLES, item_class


def validate(value: object, kind: Any, path: str = "", *, drop_unknown: bool = False) -> None:
    """Raise `InvalidRequest` for the first fault of a JSON value that should be a `kind`.

    With `drop_unknown`, members that the types don't know are taken out of the value instead.
    """
    _check(value, _forms(kind), _Place(path, drop_unknown))


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    drop_unknown: bool

    def member(self, name: str) -> "_Place":
        return _Place(f"{self.path}.{name}" if self.path else name, self.drop_unknown)

    def element(self, index: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", self.drop_unknown)

    @property
    def at_top(self) -> bool:
        return "." not in self.path and "[" not in self.path

    @property
    def name(self) -> str:
        """The path without its indices."""
        return re.sub(r"\[\d+\]", "[]", self.path)


class _Form(Protocol):
    """One kind of JSON that a type allows."""

    @property
    def phrase(self) -> str:
        """Its name in "expected ...", with an article."""

    def fits(self, value: object) -> bool:
        """Whether the value is of this kind; what it holds may still be wrong."""

    def check(self, value: Any, place: _Place) -> None:
        """Raise the first fault of a value that fits."""


_Forms: TypeAlias = tuple[_Form, ...]


def _check(value: object, forms: _Forms, place: _Place) -> None:
    for form in forms:
        if form.fits(value):
            return form.check(value, place)
    raise error_messages.wrong_type(place.path, _expected(forms, value, place), value)


def _expected(forms: _Forms, value: object, place: _Place) -> str:
    """At the top, a null is held against the first form alone."""
    named = [form for form in forms if form is not _NULL]
    if value is None and place.at_top:
        return _either(named[:1])
    return EXPECTED.get(place.name) or _either(sorted(named, key=_naming_order))


def _naming_order(form: _Form) -> int:
    """Objects and arrays come first, then what is simple, then single values."""
    if isinstance(form, _Values):
        return 2
    return 0 if isinstance(form, _Objects | _Table | _Array) else 1


def _either(forms: Sequence[_Form]) -> str:
    """`a string`; `one of 'a' or 'b'`; `one of an object or string`. Only the first has an article."""
    first, *others = [form.phrase for form in forms]
    if not others:
        return f"one of {first}" if isinstance(forms[0], _Values) else first
    bare = [re.sub("^an? ", "", phrase) for phrase in others]
    return f"one of {' or '.join([first, *bare])}"


# ---- simple forms -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Simple:
    """A JSON type whose values are all good."""

    phrase: str
    kinds: tuple[type, ...]

    def fits(self, value: object) -> bool:
        return type(value) in self.kinds

    def check(self, value: object, place: _Place) -> None:
        pass


_NULL = _Simple("null", (type(None),))
_BOOLEAN = _Simple("a boolean", (bool,))
_ANYTHING = _Simple("anything", (type(None), bool, int, float, str, list, dict))


@dataclass(frozen=True, slots=True)
class _Number:
    noun: str
    kinds: tuple[type, ...]
    limits: tuple[Meta, ...]

    @property
    def phrase(self) -> str:
        return f"an {self.noun}" if self.noun == "integer" else f"a {self.noun}"

    def fits(self, value: object) -> bool:
        return type(value) in self.kinds

    def check(self, value: float, place: _Place) -> None:
        for limit, sign in self._crossed(value):
            raise error_messages.number_out_of_range(place.path, value, limit, sign, self.noun)

    def _crossed(self, value: float) -> Iterable[tuple[float, str]]:
        for meta in self.limits:
            if meta.ge is not None and value < meta.ge:
                yield meta.ge, ">="
            if meta.le is not None and value > meta.le:
                yield meta.le, "<="


@dataclass(frozen=True, slots=True)
class _Text:
    limits: tuple[Meta, ...]
    phrase: str = "a string"

    def fits(self, value: object) -> bool:
        return isinstance(value, str)

    def check(self, value: str, place: _Place) -> None:
        for meta in self.limits:
            _check_length(value, meta, place, "string")
            if meta.pattern is not None and not re.search(meta.pattern, value):
                raise error_messages.wrong_pattern(place.path, meta.pattern)


def _check_length(value: str | list[Any], meta: Meta, place: _Place, noun: str) -> None:
    if meta.max_length is not None and len(value) > meta.max_length:
        raise error_messages.too_long(place.path, value, meta.max_length, noun)
    if meta.min_length is not None and len(value) < meta.min_length:
        raise error_messages.too_short(place.path, value, meta.min_length, noun)


@dataclass(frozen=True, slots=True)
class _Values:
    """The strings of a `Literal`."""

    values: tuple[str, ...]

    @property
    def named(self) -> tuple[str, ...]:
        return NAMED_VALUES.get(self.values, self.values)

    @property
    def phrase(self) -> str:
        return one_of(self.named, "or")

    def fits(self, value: object) -> bool:
        return isinstance(value, str)

    def check(self, value: str, place: _Place) -> None:
        if value not in self.values:
            raise error_messages.wrong_value(place.path, value, self.named)


# ---- forms that hold others -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Array:
    items: _Forms
    limits: tuple[Meta, ...]

    @property
    def phrase(self) -> str:
        return "an array of objects" if isinstance(self.items[0], _Objects) else "an array"

    def fits(self, value: object) -> bool:
        return isinstance(value, list)

    def check(self, value: list[Any], place: _Place) -> None:
        for meta in self.limits:
            _check_length(value, meta, place, "array")
        for index, item in enumerate(value):
            _check(item, self.items, place.element(index))


@dataclass(frozen=True, slots=True)
class _Table:
    """An object whose members have any names."""

    key_limits: tuple[Meta, ...]
    values: _Forms
    limits: tuple[Meta, ...]
    phrase: str = "an object"

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def check(self, value: dict[str, Any], place: _Place) -> None:
        for meta in self.limits:
            if meta.max_length is not None and len(value) > meta.max_length:
                raise error_messages.too_many_properties(place.path, len(value), meta.max_length)
        for name, held in value.items():
            self._check_name(name, place)
            _check(held, self.values, place.member(name))

    def _check_name(self, name: str, place: _Place) -> None:
        for meta in self.key_limits:
            if meta.max_length is not None and len(name) > meta.max_length:
                raise error_messages.name_too_long(place.path, name, meta.max_length)


@dataclass(frozen=True, slots=True)
class _Objects:
    """Objects of one type, or of several that a member tells apart."""

    kinds: tuple[type[msgspec.Struct], ...]
    phrase: str = "an object"

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def check(self, value: dict[str, Any], place: _Place) -> None:
        kind = self._kind(value, place)
        members = _members(kind)
        for name, member in members.items():
            if member.required and name not in value:
                raise error_messages.missing(place.member(name).path)
        self._check_unknown(value, kind, place)
        for name, member in members.items():
            if name in value:
                _check(value[name], member.forms, place.member(name))

    def _kind(self, value: dict[str, Any], place: _Place) -> type[msgspec.Struct]:
        tag_name = self.kinds[0].__struct_config__.tag_field
        if tag_name is None:
            return self.kinds[0]
        if tag_name not in value:
            if len(self.kinds) == 1:
                return self.kinds[0]
            raise error_messages.missing(place.member(tag_name).path)
        tag = value[tag_name]
        for kind in self.kinds:
            if isinstance(tag, str) and tag == _tag(kind):
                return kind
        raise self._wrong_tag(tag_name, tag, place)

    def _wrong_tag(self, tag_name: str, tag: object, place: _Place) -> InvalidRequest:
        """A member of the family that is not allowed here is reported at the object, any other at its tag."""
        allowed = tuple(_tag(kind) for kind in self.kinds)
        family = next((names for base, names in FAMILIES.items() if issubclass(self.kinds[0], base)), None)
        if family is None:
            return error_messages.wrong_value(place.member(tag_name).path, tag, allowed)
        if tag in family:
            return error_messages.wrong_value(
                place.path, tag, ALLOWED_MEMBERS.get(frozenset(allowed), allowed)
            )
        return error_messages.wrong_value(place.member(tag_name).path, tag, family)

    def _check_unknown(self, value: dict[str, Any], kind: type[msgspec.Struct], place: _Place) -> None:
        known = {*_members(kind), kind.__struct_config__.tag_field}
        for name in [name for name in value if name not in known]:
            if not place.drop_unknown:
                could_be = () if place.path else (other for other in _members(kind) if other not in value)
                raise error_messages.unknown(place.member(name).path, could_be)
            del value[name]


class _InputItem:
    """An input item, whose type is found from its `type` and `role`."""

    phrase = "an input item"

    def fits(self, value: object) -> bool:
        return isinstance(value, dict)

    def check(self, value: dict[str, Any], place: _Place) -> None:
        kind = item_class(value)
        if kind is None:
            raise self._wrong_type(value, place)
        _Objects((kind,)).check(value, place)

    def _wrong_type(self, value: dict[str, Any], place: _Place) -> InvalidRequest:
        if value.get("type", "message") == "message":
            return error_messages.wrong_value(place.path, value.get("role"), MESSAGE_ROLES)
        return error_messages.wrong_value(place.path, value["type"], NAMED_ITEMS)


# ---- reading types ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    forms: _Forms
    required: bool


@cache
def _members(kind: type[msgspec.Struct]) -> dict[str, _Member]:
    """The members of an object by their names on the wire, in the order of their declaration."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: _Member(_forms(hints[field.name]), field.required)
        for field in msgspec.structs.fields(kind)
    }


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _forms(kind: Any, limits: tuple[Meta, ...] = ()) -> _Forms:
    """The forms of a type, in the order in which it names them. All structs of a union are one form."""
    if get_origin(kind) is Annotated:
        return _annotated_forms(*get_args(kind))
    if get_origin(kind) not in (Union, types.UnionType):
        return (_form(kind, limits),)
    forms = [form for part in get_args(kind) if part is not msgspec.UnsetType for form in _forms(part)]
    structs = [form for form in forms if isinstance(form, _Objects)]
    if len(structs) > 1:
        together = _Objects(tuple(kind for form in structs for kind in form.kinds))
        forms = [together if form is structs[0] else form for form in forms if form not in structs[1:]]
    return tuple(forms)


def _annotated_forms(kind: Any, *marks: Any) -> _Forms:
    if InputItem in marks:
        return (_InputItem(),)
    return _forms(kind, tuple(mark for mark in marks if isinstance(mark, Meta)))


def _form(kind: Any, limits: tuple[Meta, ...]) -> _Form:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _Values(args)
    if origin in (list, tuple):
        return _Array(_forms(args[0]), limits)
    if origin is dict:
        return _Table(_key_limits(args[0]), _forms(args[1]), limits)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _Objects((kind,))
    return _simple_form(kind, limits)


def _simple_form(kind: Any, limits: tuple[Meta, ...]) -> _Form:
    simple: dict[Any, _Form] = {
        str: _Text(limits),
        int: _Number("integer", (int,), limits),
        float: _Number("decimal", (int, float), limits),
        bool: _BOOLEAN,
        type(None): _NULL,
        Any: _ANYTHING,
        msgspec.Raw: _ANYTHING,
    }
    return simple[kind]


def _key_limits(kind: Any) -> tuple[Meta, ...]:
    return tuple(mark for mark in get_args(kind)[1:] if isinstance(mark, Meta))
