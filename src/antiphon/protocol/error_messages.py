"""What is wrong with a request, in the API's words. behaviours.md section 6.

Each function makes the error for one kind of fault; `param` is the path of the place where it lies.
"""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from antiphon.protocol.errors import InvalidRequest, NotFound, one_of

# Longest value of a client's that an error repeats in full.
_QUOTED = 512

_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    type(None): "null",
}


def not_json() -> InvalidRequest:
    return InvalidRequest(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)"
    )


def not_an_object(body: object) -> InvalidRequest:
    return InvalidRequest(f"Invalid body: expected a JSON object, but got {_JSON_NAMES[type(body)]} instead.")


def missing(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
    )


def unknown(path: str, known: Iterable[str] = ()) -> InvalidRequest:
    """`known` are the members that could have been meant."""
    message = f"Unknown parameter: '{brief(path)}'."
    if near := _nearest(path, known):
        message += f" Did you mean {one_of(near, 'or')}?"
    return InvalidRequest(message, param=brief(path), code="unknown_parameter")


def wrong_type(path: str, expected: str, value: object) -> InvalidRequest:
    at_top = "." not in path and "[" not in path
    got = "an object" if value is None and at_top else _JSON_NAMES[type(value)]
    return InvalidRequest(
        f"Invalid type for '{path}': expected {expected}, but got {got} instead.",
        param=path,
        code="invalid_type",
    )


def wrong_value(path: str, value: object, supported: tuple[str, ...]) -> InvalidRequest:
    """A value that is not a string is named as the empty one."""
    given = brief(value) if isinstance(value, str) else ""
    return InvalidRequest(
        f"Invalid value: '{given}'. Supported values are: {one_of(supported)}.",
        param=path,
        code="invalid_value",
    )


def wrong_for_model(path: str, value: str, model: str, supported: tuple[str, ...]) -> InvalidRequest:
    """A value that is right for other models."""
    return InvalidRequest(
        f"Unsupported value: '{value}' is not supported with the '{brief(model)}' model. "
        f"Supported values are: {one_of(supported)}.",
        param=path,
        code="unsupported_value",
    )


def number_out_of_range(path: str, value: float, limit: float, sign: str, noun: str) -> InvalidRequest:
    """`noun` is integer or decimal, `sign` how the value should have compared with the limit."""
    side, bound = ("below", "min") if sign.startswith(">") else ("above", "max")
    extreme = f"{bound}imum"
    return InvalidRequest(
        f"Invalid '{path}': {noun} {side} {extreme} value. "
        f"Expected a value {sign} {_json(limit)}, but got {_json(value)} instead.",
        param=path,
        code=f"{noun}_{side}_{bound}_value",
    )


def too_long(path: str, value: Collection[Any], limit: int, noun: str) -> InvalidRequest:
    """`noun` is string or array."""
    article = _article(noun)
    return InvalidRequest(
        f"Invalid '{path}': {noun} too long. Expected {article} {noun} with maximum length {limit}, "
        f"but got {article} {noun} with length {len(value)} instead.",
        param=path,
        code=f"{noun}_above_max_length",
    )


def too_short(path: str, value: Collection[Any], limit: int, noun: str) -> InvalidRequest:
    article = _article(noun)
    if not value:
        return InvalidRequest(
            f"Invalid '{path}': empty {noun}. Expected {article} {noun} with minimum length {limit}, "
            f"but got an empty {noun} instead.",
            param=path,
            code=f"empty_{noun}",
        )
    return InvalidRequest(
        f"Invalid '{path}': {noun} too short. Expected {article} {noun} with minimum length {limit}, "
        f"but got {article} {noun} with length {len(value)} instead.",
        param=path,
        code=f"{noun}_below_min_length",
    )


def wrong_pattern(path: str, pattern: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{path}': string does not match pattern. "
        f"Expected a string that matches the pattern '{pattern}'.",
        param=path,
        code="invalid_value",
    )


def too_many_properties(path: str, count: int, limit: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{path}': too many properties. Expected an object with at most {limit} properties, "
        f"but got an object with {count} properties instead.",
        param=path,
        code="object_above_max_properties",
    )


def name_too_long(path: str, name: str, limit: int) -> InvalidRequest:
    """The name of a member of the object at `path`."""
    return InvalidRequest(
        f"Invalid property name in '{path}': '{brief(name)}' is too long. "
        f"Expected a string with maximum length {limit}, but got a string with length {len(name)} instead.",
        param=f"{path}.{brief(name)}",
        code="property_name_above_max_length",
    )


def wrong_id(path: str, value: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{path}': '{brief(value)}'. Expected an ID that contains letters, numbers, underscores, "
        "or dashes, but this value contained additional characters.",
        param=path,
        code="invalid_value",
    )


def wrong_id_prefix(path: str, value: str, prefix: str, code: str = "invalid_id_prefix") -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{path}': '{brief(value)}'. Expected an ID that begins with '{prefix}'.",
        param=path,
        code=code,
    )


def unsupported(name: str, reason: str) -> InvalidRequest:
    """A parameter that this server knows and cannot act on."""
    return InvalidRequest(
        f"'{name}' is not supported by this server: {reason}.", param=name, code="unsupported_parameter"
    )


def moved(name: str, place: str) -> InvalidRequest:
    """A member of another API that has its own place in this one."""
    return InvalidRequest(
        f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{place}'. "
        "Try again with the new parameter. See the API documentation for more information: "
        "https://platform.openai.com/docs/api-reference/responses/create.",
        code="unsupported_parameter",
    )


def two_pasts() -> InvalidRequest:
    """The real API shortens the first name, and names neither where it should."""
    return InvalidRequest(
        "Mutually exclusive parameters: ''. "
        "Ensure you are only providing one of: 'pre..._id' or 'conversation'.",
        code="mutually_exclusive_parameters",
    )


def nothing_to_answer() -> InvalidRequest:
    return InvalidRequest(
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
        code="missing_required_parameter",
    )


def not_last(path: str, kind: str) -> InvalidRequest:
    """An item of a type that may only end the input."""
    return InvalidRequest(
        f"Invalid '{path}': an item of type '{kind}' must be the last input item.",
        param=path,
        code="invalid_value",
    )


def duplicate_id(item_id: str, path: str) -> InvalidRequest:
    return InvalidRequest(
        f"Duplicate item found with id {brief(item_id)}. "
        "Remove duplicate items from your input and try again.",
        param=path,
    )


def item_not_kept(item_id: str, path: str) -> NotFound:
    """A reference leads nowhere."""
    return NotFound(
        f"Item with id '{brief(item_id)}' not found. Items are not persisted when `store` is set to false."
        " Try again with `store` set to true, or remove this item from your input.",
        param=path,
    )


def unexplained(refusal: Exception, path: str = "") -> InvalidRequest:
    """What msgspec refused and we have no better words for: in its words."""
    words, _, place = str(refusal).partition(" - at `$")
    param = f"{path}{place.rstrip('`')}".lstrip(".") or None
    return InvalidRequest(f"Invalid request: {words}.", param=param, code="invalid_value")


def brief(text: str) -> str:
    """A text of a client's, as an error repeats it."""
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _json(number: float) -> str:
    return msgspec.json.encode(number).decode()


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names at most two edits away, nearest first."""
    near = [(distance, other) for other in known if (distance := _edits(name, other)) <= 2]
    return tuple(other for _, other in sorted(near))


def _edits(one: str, other: str) -> int:
    """Letters to insert, delete or replace to get from one to the other; any number above 2 says "many"."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        above, row[0] = row[0], index
        for column, target in enumerate(other, 1):
            above, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, above + (letter != target)),
            )
    return row[-1]
