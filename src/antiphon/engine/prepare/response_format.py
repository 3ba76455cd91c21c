"""Which schemas of `text.format` are accepted, and what the model gets of them."""

from collections.abc import Iterator
from typing import Any

from antiphon.model import Format, JsonSchema
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.request import CreateResponse, JsonObjectFormat, JsonSchemaFormat
from antiphon.protocol.wire import JsonObject
from antiphon.tools.schema import SchemaMaker


def response_format(request: CreateResponse) -> Format:
    """What the answer must be."""
    form = request.text.format if request.text else None
    if isinstance(form, JsonSchemaFormat):
        return JsonSchema(form.name, form.schema, form.description or "", bool(form.strict))
    return "json_object" if isinstance(form, JsonObjectFormat) else "text"


async def check_format(request: CreateResponse, schema: SchemaMaker) -> None:
    """Raises InvalidRequest for a schema that is none, or that is not strict where it says that it is."""
    form = request.text.format if request.text else None
    if not isinstance(form, JsonSchemaFormat):
        return
    if fault := await schema(form.schema).fault():
        raise _unacceptable(form, fault)
    if form.strict:
        if form.schema.get("type") != "object":
            raise _unacceptable(form, "schema must be a JSON Schema of 'type: \"object\"'")
        for context, reason in _laxities(form.schema, ()):
            raise _unacceptable(form, f"In context={context}, {reason}")


def _laxities(schema: Any, context: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a schema lets an answer have more or fewer members than it names (the reference's rules for
    `strict`)."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _laxities(part, (*context, str(index)))
        return
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        yield from ((context, reason) for reason in _lax(schema))
    for key in ("items", "anyOf"):
        yield from _laxities(schema.get(key), (*context, key))
    for key in ("properties", "$defs", "definitions"):
        named = schema.get(key)
        for name, part in named.items() if isinstance(named, dict) else ():
            yield from _laxities(part, (*context, key, name))


def _lax(schema: JsonObject) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false."
    given = schema.get("required")
    required = set(filter(_is_text, given)) if isinstance(given, list) else set()
    for name in schema.get("properties") or ():
        if name not in required:
            yield (
                "'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{name}'."
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _unacceptable(form: JsonSchemaFormat, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid schema for response_format '{form.name}': {reason}",
        param="text.format.schema",
        code="invalid_json_schema",
    )
