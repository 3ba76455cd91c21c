"""A turn as the body of a request to the Messages API."""

from msgspec.structs import replace

from antiphon.backends.anthropic.caching import with_marks
from antiphon.backends.anthropic.messages import messages, system
from antiphon.backends.anthropic.schemas import closed
from antiphon.backends.anthropic.stream import THINKING
from antiphon.backends.anthropic.traits import LEVELS, Traits
from antiphon.backends.payload import NO_PARAMETERS, unsupported
from antiphon.backends.wire_turns import Ordered, ordered
from antiphon.model import Function, JsonSchema, Message, NamedFunction, TextPart, Turn
from antiphon.protocol.wire import JsonObject, encode

_ANSWER = 8192
"""Tokens of an answer of which nobody says how long it may be: something has to be said."""
_LEAST_BUDGET = 1024
_MOST_BUDGET = 32_768
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5}
"""Of an answer's tokens, that thinking may take with an effort; with any other, nearly all."""


def payload(turn: Turn, traits: Traits) -> JsonObject:
    """The body. Raises InvalidRequest for what would change the answer and cannot be sent."""
    said = ordered(_with_form(turn, traits))
    most = min(turn.max_tokens or traits.most or _ANSWER, traits.most or turn.max_tokens or _ANSWER)
    body: JsonObject = {"model": turn.model, "max_tokens": most}
    body["messages"] = messages(said, signed=traits.signs is not False)
    if leading := system(said.leading):
        body["system"] = leading
    body |= _tools(turn, traits)
    body |= _sampling(turn)
    body |= _thinking(turn, traits, most, said)
    body |= _config(turn, traits)
    body |= _hints(turn, traits)
    return with_marks(body, turn) if traits.caching else body


# ---- functions --------------------------------------------------------------------------------------


def _tools(turn: Turn, traits: Traits) -> JsonObject:
    if not turn.functions:
        return {}
    body: JsonObject = {"tools": [_function(function, traits) for function in turn.functions]}
    choice: JsonObject
    match turn.choice:
        case NamedFunction(name):
            choice = {"type": "tool", "name": name}
        case "required":
            choice = {"type": "any"}
        case kind:
            choice = {"type": kind}
    if not turn.parallel and traits.parallel and turn.choice != "none":
        choice["disable_parallel_tool_use"] = True
    return body if choice == {"type": "auto"} else body | {"tool_choice": choice}


def _function(function: Function, traits: Traits) -> JsonObject:
    parameters = {"type": "object", **function.parameters} if function.parameters else NO_PARAMETERS
    body: JsonObject = {"name": function.name, "input_schema": parameters}
    if function.description:
        body["description"] = function.description
    if function.strict and traits.strict and closed(parameters) is not None:
        body["strict"] = True
    return body


# ---- the form of the answer -------------------------------------------------------------------------


def _schema(turn: Turn, traits: Traits) -> JsonObject | None:
    """The schema that the server can hold the model to."""
    held = isinstance(turn.format, JsonSchema) and traits.schemas
    return closed(turn.format.schema) if held and isinstance(turn.format, JsonSchema) else None


def _with_form(turn: Turn, traits: Traits) -> tuple[Message, ...]:
    """The messages; a schema that the server does not take as one is described to the model in words."""
    if not isinstance(turn.format, JsonSchema) or _schema(turn, traits) is not None:
        return turn.messages
    words = (
        "Answer with JSON alone: no other words, no code fence. It must fit this JSON schema:\n"
        f"{encode(turn.format.schema).decode()}"
    )
    return (Message("system", (TextPart(words),)), *turn.messages)


def _config(turn: Turn, traits: Traits) -> JsonObject:
    config: JsonObject = {}
    if (schema := _schema(turn, traits)) is not None:
        config["format"] = {"type": "json_schema", "schema": schema}
    if level := _level(turn.effort, traits):
        config["effort"] = level
    return {"output_config": config} if config else {}


# ---- thinking ---------------------------------------------------------------------------------------


def _level(effort: str | None, traits: Traits) -> str | None:
    """The model's level for an effort: the next lower one, where it does not have it."""
    if effort is None or not traits.levels:
        return None
    wanted = LEVELS.index(effort) if effort in LEVELS else 0
    known = [level for level in LEVELS[: wanted + 1] if level in traits.levels]
    return known[-1] if known else next(level for level in LEVELS if level in traits.levels)


def _thinking(turn: Turn, traits: Traits, most: int, said: Ordered) -> JsonObject:
    if turn.effort is None or not traits.thinking:
        return {}
    if turn.effort == "none":
        return {"thinking": {"type": "disabled"}} if traits.disabled else {}
    if turn.is_forced:  # a model does not think when it must call a function: both together are refused
        return {}
    shown = {"display": "summarized"} if traits.display else {}
    if traits.thinking == "adaptive":
        return {"thinking": {"type": "adaptive", **shown}}
    budget = min(int(most * _SHARES.get(turn.effort, 0.8)), _MOST_BUDGET)
    if most <= _LEAST_BUDGET or _has_begun(said):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": max(budget, _LEAST_BUDGET), **shown}}


def _has_begun(said: Ordered) -> bool:
    """Whether a tool loop goes on that was begun without thinking: then it ends without."""
    looping = [message for at, message in enumerate(said.said) if said.goes_on(at)]
    return any(not (message.opaque and message.opaque.message.get(THINKING)) for message in looping[-1:])


# ---- the rest ---------------------------------------------------------------------------------------


def _sampling(turn: Turn) -> JsonObject:
    sampling = turn.sampling
    for name in ("presence_penalty", "frequency_penalty", "top_logprobs"):
        if getattr(sampling, name):
            raise unsupported(name)
    given = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    return {name: value for name, value in given.items() if value is not None}


def _hints(turn: Turn, traits: Traits) -> JsonObject:
    user = turn.safety_identifier or turn.user
    body: JsonObject = {"metadata": {"user_id": user}} if user else {}
    if turn.service_tier == "default":
        body["service_tier"] = "standard_only"
    return {name: value for name, value in body.items() if name not in traits.without}


def counted(turn: Turn, traits: Traits) -> JsonObject:
    """The body of the question how many tokens a turn's context has."""
    body = payload(replace(turn, user=None, safety_identifier=None, service_tier=None), traits)
    left_out = ("max_tokens", "temperature", "top_p")
    return {name: value for name, value in body.items() if name not in left_out}
