"""A turn as the body of a request to the Responses API. State is ours: nothing is stored there, and the whole
history is sent."""

from antiphon.backends.payload import NO_PARAMETERS, unsupported
from antiphon.backends.responses.hosted_tools import chosen, hosted_in, offered_again, own, shown
from antiphon.backends.responses.items import instructions, items
from antiphon.backends.responses.traits import Traits
from antiphon.backends.wire_turns import ordered
from antiphon.model import Function, Grammar, JsonSchema, NamedFunction, Turn
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import JsonObject

_SEALED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_LEAST_TOKENS = 16
"""Of an answer, as the API has it."""


def payload(turn: Turn, traits: Traits) -> JsonObject:
    """The body. Raises InvalidRequest for what would change the answer and cannot be sent."""
    body = counted(turn, traits) | {"store": False, "stream": True}
    body |= _sampling(turn, traits)
    body |= _included(turn, traits)
    body |= _reasoning(turn, traits)
    if turn.max_tokens is not None:
        body["max_output_tokens"] = max(turn.max_tokens, _LEAST_TOKENS)
    return body | _hints(turn, traits)


def counted(turn: Turn, traits: Traits) -> JsonObject:
    """What of it the model reads."""
    said = ordered(offered_again(turn).messages)
    body: JsonObject = {"model": turn.model, "input": items(said, traits)}
    if leading := instructions(said.leading):
        body["instructions"] = leading
    return body | _tools(turn, traits) | _text(turn, traits)


# ---- tools ------------------------------------------------------------------------------------------


def _tools(turn: Turn, traits: Traits) -> JsonObject:
    choice = turn.choice
    if not turn.functions or (choice == "none" and not traits.forced):
        return {}
    if not traits.forced:
        choice = "auto"
    hosted = hosted_in(turn)
    functions = [_function(function, traits) for function in own(turn)]
    body: JsonObject = {"tools": [*functions, *(tool.entry for tool in hosted.values())]}
    if not body["tools"]:
        return {}
    if hosted and turn.most_calls is not None:
        body["max_tool_calls"] = turn.most_calls
    if isinstance(choice, NamedFunction):
        tool = chosen(turn, choice.name)
        body["tool_choice"] = {"type": tool} if tool else {"type": "function", "name": choice.name}
    elif choice != "auto":
        body["tool_choice"] = choice
    if traits.parallel and not turn.parallel:
        body["parallel_tool_calls"] = False
    return body


def _function(function: Function, traits: Traits) -> JsonObject:
    body: JsonObject = {"type": "function", "name": function.name}
    body["parameters"] = function.parameters or NO_PARAMETERS
    if function.description:
        body["description"] = function.description
    # Where nothing is said, OpenAI takes functions for strict ones.
    return body | ({"strict": function.strict} if traits.strict else {})


# ---- the form of the answer -------------------------------------------------------------------------


def _text(turn: Turn, traits: Traits) -> JsonObject:
    text: JsonObject = {}
    match turn.format:
        case "json_object":
            text["format"] = {"type": "json_object"}
        case JsonSchema(name, schema, description, strict):
            form: JsonObject = {"type": "json_schema", "name": name, "schema": schema, "strict": strict}
            text["format"] = form | ({"description": description} if description else {})
        case Grammar(syntax):
            raise InvalidRequest(
                f"The model's server cannot hold an answer to a {syntax} grammar.", param="tools"
            )
    if turn.verbosity and "verbosity" in traits.hints:
        text["verbosity"] = turn.verbosity
    return {"text": text} if text else {}


# ---- how it thinks, and how tokens are drawn --------------------------------------------------------


def _reasoning(turn: Turn, traits: Traits) -> JsonObject:
    reasoning: JsonObject = {}
    if turn.effort and traits.effort:
        reasoning["effort"] = turn.effort
    if turn.summary and traits.summary:
        reasoning["summary"] = turn.summary
    if turn.mode and "reasoning.mode" in traits.hints:
        reasoning["mode"] = turn.mode
    return {"reasoning": reasoning} if reasoning else {}


def _sampling(turn: Turn, traits: Traits) -> JsonObject:
    sampling = turn.sampling
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
    body: JsonObject = {name: value for name in names if (value := getattr(sampling, name)) is not None}
    if sampling.top_logprobs is not None:
        if not traits.logprobs:
            raise unsupported("top_logprobs")
        body["top_logprobs"] = sampling.top_logprobs
    return body


def _included(turn: Turn, traits: Traits) -> JsonObject:
    """What is to be shown that would be left out."""
    names = [_SEALED] if traits.sealed else []
    if turn.sampling.top_logprobs is not None:
        names.append(_LOGPROBS)
    if traits.finds:
        names += shown(turn)
    return {"include": names} if names else {}


def _hints(turn: Turn, traits: Traits) -> JsonObject:
    in_place = "safety_identifier" in traits.hints  # the newer name of `user`
    known = {
        "user": turn.user if in_place else turn.safety_identifier or turn.user,
        "safety_identifier": turn.safety_identifier,
        "prompt_cache_key": turn.cache_key,
        "prompt_cache_retention": turn.cache_retention,
        "prompt_cache_options": {**(turn.cache_options or {}), "prewarm": True}
        if turn.prewarms
        else turn.cache_options,
        "service_tier": turn.service_tier,
        "access_programs": turn.access_programs,
    }
    return {name: value for name, value in known.items() if value is not None and name in traits.hints}
