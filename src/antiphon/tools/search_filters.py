"""Filters of requests, as searches take them."""

from typing import Literal, cast

from antiphon.protocol import tools as wire
from antiphon.retrieval.filters import Combine, Compare, Filter, FilterTooLarge, Operator, check


def search_filter(asked: wire.Filter) -> Filter:
    """Raises FilterTooLarge."""
    try:
        made = _made(asked)
    except RecursionError:
        raise FilterTooLarge("A filter has too many levels.") from None
    check(made)
    return made


def _made(asked: wire.Filter) -> Filter:
    if isinstance(asked, wire.Compound):
        operator = cast(Literal["and", "or"], asked.__struct_config__.tag)
        return Combine(operator, [_made(one) for one in asked.filters])
    values = asked.value if isinstance(asked.value, list) else [asked.value]
    return Compare(cast(Operator, asked.__struct_config__.tag), asked.key, values)
