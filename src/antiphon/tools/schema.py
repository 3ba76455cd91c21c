"""Whether a value fits a JSON schema: the arguments of a strict function's call, or an answer.

Schemas come from strangers. One that is plain is compiled and used here, in microseconds; any other in a
child process, since it may cost more than there is of time or memory.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from antiphon.guard.pool import Overrun, Pool
from antiphon.protocol.wire import JsonObject, encode
from antiphon.tools.plain_schema import too_large, weight_of
from antiphon.tools.verdicts import Verdicts

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_REPORTED = 5
"""How many faults of a value that are reported to the model at once."""
_LONGEST = 300
"""Characters of one fault."""
_PLAIN_WORK = 500_000
"""Weight of a schema times characters of a value that are checked here: some milliseconds."""
_KEPT = 256
"""How many plain schemas stay compiled."""
_SMALL = 16 * 1024
"""Bytes of a schema whose size is remembered."""
_HERE = f"{__name__}:"


class Schema:
    """A JSON schema. Whether it is one is said by `fault`."""

    def __init__(self, schema: JsonObject, pool: Pool, owner: str = "", written: bytes | None = None) -> None:
        """`owner`: whose work it is, for the pool. `written`: the schema as JSON, where that is known."""
        self._pool = pool
        self._owner = owner
        self._explains = True
        """Whether it can be said within the limits what does not fit."""
        self._json = encode(schema) if written is None else written
        self._size = _measured(self._json) if len(self._json) <= _SMALL else _measure(schema)

    async def fault(self) -> str | None:
        """What is wrong with the schema itself, in words; None: values can be checked."""
        if self._size.fault is not None:
            return f"The schema is too large: {self._size.fault}."
        if self._size.weight is not None:
            return fault_of_schema(self._json)
        try:
            return await _verdicts.of(self._json, self._compiled)
        except Overrun:
            return "The schema is too complex: it could not be compiled within this server's limits."

    async def fault_of(self, value: Any, text: str, name: str = "arguments") -> str | None:
        """What does not fit in a value that is called so, in words for the model; None: all of it does.
        `text` is the value as JSON."""
        weight = self._size.weight
        try:
            if weight is not None and weight * len(text) <= _PLAIN_WORK:
                return _fault(_validator(self._json), value, name)
            return await self._fault_by_child(text, name)
        except ValueError as fault:
            return f"{name} could not be checked: {_short(str(fault))}"

    async def _fault_by_child(self, text: str, name: str) -> str | None:
        try:
            if await self._call("fits", text):
                return None
        except Overrun:
            return f"{name} could not be checked within this server's limits: make them shorter and simpler."
        try:
            if self._explains:
                fault: str | None = await self._call("fault_of_value", text, name)
                return fault
        except Overrun:
            self._explains = False
        return f"{name} do not fit the schema, which is too complex to say where."

    async def _compiled(self) -> str | None:
        """Raises Overrun."""
        fault: str | None = await self._call("fault_of_schema")
        return fault

    async def _call(self, function: str, *arguments: object) -> Any:
        return await self._pool.call(_HERE + function, self._json, *arguments, owner=self._owner)


_verdicts = Verdicts(1024)


class _Size(NamedTuple):
    fault: str | None
    """Why the schema is not compiled at all."""
    weight: int | None
    """None: it is not plain."""


def _measure(schema: JsonObject) -> _Size:
    fault = too_large(schema)
    return _Size(fault, None if fault else weight_of(schema))


@lru_cache(_KEPT)
def _measured(schema: bytes) -> _Size:
    return _measure(msgspec.json.decode(schema))


SchemaMaker = Callable[[JsonObject], Schema]
"""Makes a schema that can be checked against, for one owner."""


# ---- what is done here, or in a child ---------------------------------------------------------------


def fault_of_schema(schema: bytes) -> str | None:
    """What is wrong with a schema, given as JSON."""
    try:
        _validator(schema)
    except ValueError as fault:
        return str(fault).partition("\n")[0][:_LONGEST]
    return None


def fits(schema: bytes, text: str) -> bool:
    """Whether JSON fits."""
    return _validator(schema).is_valid(_read(text))


def fault_of_value(schema: bytes, text: str, name: str) -> str | None:
    """What does not fit in JSON."""
    return _fault(_validator(schema), _read(text), name)


def _fault(validator: "Validator", value: Any, name: str) -> str | None:
    errors = islice(validator.iter_errors(value), _REPORTED)
    return "; ".join(_words(error, name) for error in errors) or None


@lru_cache(_KEPT)
def _validator(schema: bytes) -> "Validator":
    from jsonschema_rs import validator_for

    return validator_for(msgspec.json.decode(schema), retriever=_retrieve)


def _read(text: str) -> Any:
    """Line breaks and other control characters may stand in strings as they are: models write them so."""
    return json.loads(text or "{}", strict=False)


def _words(error: "ValidationError", name: str) -> str:
    place = "".join(f"[{step!r}]" for step in error.instance_path)
    return f"{_short(name + place)}: {_short(error.message)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _retrieve(uri: str) -> Any:
    """Nothing is fetched for the sake of a schema."""
    raise ValueError(f"A schema may not refer to {uri}.")
