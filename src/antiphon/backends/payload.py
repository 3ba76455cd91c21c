"""A turn as the body of a Chat Completions request, in a given dialect."""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from antiphon.backends.dialects import Dialect, GrammarForm
from antiphon.backends.messages import render_turn
from antiphon.backends.references import without_root
from antiphon.model import (
    Capabilities,
    Choice,
    Format,
    Function,
    Grammar,
    JsonSchema,
    NamedFunction,
    Sampling,
    Turn,
)
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import JsonObject


def capabilities(dialect: Dialect) -> Capabilities:
    """What any model behind a server of this dialect can be asked for."""
    return Capabilities(
        parallel_tools=dialect.parallel != "never",
        strict_tools=dialect.holds_strict,
        tools=dialect.tools,
        forced_tools=dialect.choice != "auto",
        json_schema=dialect.json_schema,
        json_object=dialect.json_object != "words",
        grammar=bool(dialect.lark),
        regex=bool(dialect.regex),
        logprobs=dialect.logprobs,
        gives_logprobs=dialect.logprobs and dialect.logprobs_come,
        images=dialect.images,
        smallest_image=dialect.smallest_image,
        audio=dialect.audio,
        files=dialect.files,
        reasoning=bool(dialect.effort),
        verbosity="verbosity" in dialect.hints,
        hints=dialect.hints,
        opaque=dialect.opaque,
        caches_prompts=dialect.caches_prompts,
    )


def payload(turn: Turn, dialect: Dialect) -> JsonObject:
    """The body. Raises InvalidRequest for what would change the answer and cannot be sent."""
    functions = _tools(turn, dialect) if turn.functions else {}
    body: JsonObject = {"model": turn.model, "messages": render_turn(turn, dialect)}
    body["stream"] = _streams(turn, dialect)
    if body["stream"] and dialect.stream_options:
        body["stream_options"] = {"include_usage": True}
    body |= functions
    if turn.format != "text":
        body |= _format(turn.format, dialect)
    if turn.sampling != _NO_SAMPLING:
        body |= _sampling(turn.sampling, dialect)
    if turn.effort is not None:
        body |= _effort(turn.effort, dialect)
    if turn.max_tokens is not None:
        body[dialect.max_tokens] = turn.max_tokens
    hints = _hinted(turn)
    return body if hints == _NOT_HINTED else body | _hints(hints, dialect)


def _streams(turn: Turn, dialect: Dialect) -> bool:
    """Whether the answer is asked for piece by piece."""
    if turn.whole and dialect.whole:
        return False
    logprobs = turn.functions and turn.sampling.top_logprobs is not None
    return not (logprobs and dialect.logprobs_with_tools == "plain")


# ---- functions --------------------------------------------------------------------------------------


def _tools(turn: Turn, dialect: Dialect) -> JsonObject:
    functions: Sequence[Function] = turn.functions
    choice = turn.choice
    if choice == "none" and dialect.choice == "auto":
        return {}
    if isinstance(choice, NamedFunction) and dialect.choice == "alone":
        functions = [function for function in functions if function.name == choice.name]
        choice = "required"
    body: JsonObject = {"tools": [_function(function, dialect) for function in functions]}
    if choice != "auto":
        body["tool_choice"] = _choice(choice, dialect)
    if dialect.parallel == "always" or (dialect.parallel == "when false" and not turn.parallel):
        body["parallel_tool_calls"] = turn.parallel
    return body


def _choice(choice: Choice, dialect: Dialect) -> str | JsonObject:
    if dialect.choice == "auto":
        raise InvalidRequest("The model cannot be forced to call a function.", param="tool_choice")
    if isinstance(choice, NamedFunction):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _function(function: Function, dialect: Dialect) -> msgspec.Raw:
    form = "chat", dialect.root_references, dialect.strict
    written = function.written.get(form)
    if written is None:
        body = {"type": "function", "function": _described(function, dialect)}
        written = function.written[form] = msgspec.Raw(encode(body))
    return written


def _described(function: Function, dialect: Dialect) -> JsonObject:
    parameters = _schema_for(function.parameters, dialect) or NO_PARAMETERS
    body: JsonObject = {"name": function.name, "parameters": parameters}
    if function.description:
        body["description"] = function.description
    if function.strict and dialect.strict:
        body["strict"] = True
    return body


NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}

# ---- the form of the answer -------------------------------------------------------------------------


def _format(form: Format, dialect: Dialect) -> JsonObject:
    match form:
        case "text":
            return {}
        case "json_object" if dialect.json_object == "native":
            return {"response_format": {"type": "json_object"}}
        case "json_object":
            return _schema(JsonSchema("object", {"type": "object"}), dialect)
        case JsonSchema():
            return _schema(form, dialect)
        case Grammar(syntax, definition):
            return _grammar(syntax, definition, dialect)


def _schema_for(schema: JsonObject, dialect: Dialect) -> JsonObject:
    return schema if dialect.root_references else without_root(schema)


def _schema(form: JsonSchema, dialect: Dialect) -> JsonObject:
    schema = _schema_for(form.schema, dialect)
    body: JsonObject = {"name": form.name, "schema": schema, "strict": form.strict}
    if form.description:
        body["description"] = form.description
    return {"response_format": {"type": "json_schema", "json_schema": body}}


def _grammar(syntax: str, definition: str, dialect: Dialect) -> JsonObject:
    form = dialect.lark if syntax == "lark" else dialect.regex
    if form is None:
        raise InvalidRequest(
            f"The model's server cannot hold an answer to a {syntax} grammar.", param="tools"
        )
    body: object = _wrapped(definition, form)
    for name in reversed(form.path):
        body = {name: body}
    assert isinstance(body, dict)
    return body


def _wrapped(definition: str, form: GrammarForm) -> str:
    if form.wrap == "llguidance regex":
        escaped = definition.replace("\\/", "/").replace("/", "\\/")
        definition = f"start: /{escaped}/"
    return f"%llguidance {{}}\n{definition}" if form.wrap else definition


# ---- how tokens are drawn ---------------------------------------------------------------------------


_NO_SAMPLING = Sampling()


def _sampling(sampling: Sampling, dialect: Dialect) -> JsonObject:
    body = {
        name: value
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty")
        if (value := getattr(sampling, name)) is not None
    }
    if not dialect.penalties:
        _refuse_penalties(body)
    return body | _logprobs(sampling.top_logprobs, dialect)


def _refuse_penalties(body: JsonObject) -> None:
    for name in ("presence_penalty", "frequency_penalty"):
        if body.pop(name, 0):
            raise unsupported(name)


def _logprobs(top: int | None, dialect: Dialect) -> JsonObject:
    if top is None:
        return {}
    if not dialect.logprobs:
        raise unsupported("top_logprobs")
    return {"logprobs": True, "top_logprobs": max(top, dialect.least_top_logprobs)}


def unsupported(name: str) -> InvalidRequest:
    """The fault of a parameter that the model's server does not take."""
    return InvalidRequest(f"Unsupported parameter: '{name}' is not supported with this model.", param=name)


def _effort(effort: str, dialect: Dialect) -> JsonObject:
    body: JsonObject = {}
    if dialect.effort in ("reasoning_effort", "both") or (dialect.effort == "thinking" and effort != "none"):
        body["reasoning_effort"] = effort
    if dialect.effort == "thinking":
        body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    if dialect.effort == "enable_thinking":
        body["enable_thinking"] = effort != "none"
    if dialect.effort == "reasoning":
        body["reasoning"] = {"effort": effort}
    # Templates that know no effort know this switch at least.
    off = {"enable_thinking": False} if effort == "none" else {}
    if dialect.effort == "chat_template_kwargs":
        body["chat_template_kwargs"] = off or {"reasoning_effort": effort}
    elif dialect.effort == "both" and off:
        body["chat_template_kwargs"] = off
    return body


_HINTS = {
    "verbosity": "verbosity",
    "user": "user",
    "safety_identifier": "safety_identifier",
    "prompt_cache_key": "cache_key",
    "prompt_cache_retention": "cache_retention",
    "prompt_cache_options": "cache_options",
    "service_tier": "service_tier",
}
"""What the members of a turn are called on the wire, that change no answer."""
_hinted = attrgetter(*_HINTS.values())
_NOT_HINTED = (None,) * len(_HINTS)


def _hints(given: Sequence[object], dialect: Dialect) -> JsonObject:
    known = dict(zip(_HINTS, given, strict=True))
    if "safety_identifier" not in dialect.hints:  # the newer name of `user`
        known["user"] = known["safety_identifier"] or known["user"]
    return {name: value for name, value in known.items() if value is not None and name in dialect.hints}


encode = msgspec.json.Encoder().encode
