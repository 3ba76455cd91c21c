"""What the API says it expected where its words do not follow from our types.

A place is named by its path without indices: `input[3].content` is `input[].content`.
"""

from typing import get_args

from antiphon.protocol import content, items
from antiphon.protocol.errors import one_of
from antiphon.protocol.request import CacheRetention, Effort, ServiceTier

# Said of a value of the wrong JSON type. That effort may be a number is the API's secret.
EXPECTED = {
    "input": "one of a string or array of input items",
    "input[]": "an input item",
    "items": "an array of input items",
    "items[]": "an input item",
    "include": (
        "an array of one of 'fil...lts', 'web...lts', 'web...ces', 'mes...url', "
        "'com...url', 'cod...uts', 'rea...ent', or 'mes...obs'"
    ),
    "tools": "an array of tools",
    "metadata": "a metadata object",
    "reasoning.effort": f"one of one of {one_of(get_args(Effort), 'or')} or integer",
}

# The values that the API names where it takes more than these.
NAMED_VALUES: dict[tuple[str, ...], tuple[str, ...]] = {
    get_args(ServiceTier): ("auto", "default", "fast", "flex", "priority"),
    get_args(CacheRetention): ("in_memory", "24h"),
}

# The types of items that it names. It takes one that is younger than its list.
NAMED_ITEMS = tuple(name for name in items.ITEM_TYPES if name != "configuration_update")

# All members of a family of tagged types that the API knows, wherever only some of them are allowed.
FAMILIES: dict[type, tuple[str, ...]] = {
    content.Part: content.PART_TYPES,
}

# What it names as allowed at a place that takes these members of a family.
ALLOWED_MEMBERS = {
    frozenset({"input_text", "input_image", "input_file", "input_audio"}): content.USER_PART_TYPES,
    frozenset({"output_text", "refusal"}): content.ASSISTANT_PART_TYPES,
}
