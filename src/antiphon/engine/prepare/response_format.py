"""Which schemas of `text.format` are accepted, and what the model gets of them."""

from antiphon.model import Format, JsonSchema
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.request import JsonObjectFormat, JsonSchemaFormat, TextOptions
from antiphon.protocol.strict_schema import laxities
from antiphon.tools.schema import SchemaMaker


def response_format(text: TextOptions) -> Format:
    """What the answer must be."""
    form = text.format
    if isinstance(form, JsonSchemaFormat):
        return JsonSchema(form.name, form.schema, form.description or "", bool(form.strict))
    return "json_object" if isinstance(form, JsonObjectFormat) else "text"


async def check_format(text: TextOptions, schema: SchemaMaker) -> None:
    """Raises InvalidRequest for a schema that is none, or that is not strict where it says that it is."""
    form = text.format
    if not isinstance(form, JsonSchemaFormat):
        return
    if fault := await schema(form.schema).fault():
        raise _unacceptable(form, fault)
    if form.strict:
        if form.schema.get("type") != "object":
            raise _unacceptable(form, "schema must be a JSON Schema of 'type: \"object\"'")
        for context, reason in laxities(form.schema):
            raise _unacceptable(form, f"In context={context}, {reason}")


def _unacceptable(form: JsonSchemaFormat, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid schema for response_format '{form.name}': {reason}",
        param="text.format.schema",
        code="invalid_json_schema",
    )
