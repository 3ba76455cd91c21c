"""Lists, a page at a time (endpoints.md section 0)."""

from collections.abc import Callable
from typing import Protocol, TypeVar, cast, get_args

import msgspec
from starlette.datastructures import QueryParams
from starlette.responses import Response as HttpResponse

from antiphon.api.body import json
from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol.errors import InvalidRequest, one_of
from antiphon.protocol.projection import Projection, projection
from antiphon.protocol.request import Include
from antiphon.protocol.wire import encode
from antiphon.store.items import ItemRow
from antiphon.store.paging import Order, Page, PageQuery

MAX_LIMIT = 100
T = TypeVar("T")


class HasId(Protocol):
    """An entry of a list: by its id clients find where they were."""

    @property
    def id(self) -> str: ...


def page_query(
    params: QueryParams,
    allowed: tuple[str, ...] = (),
    *,
    default: int = 20,
    least: int = 1,
    most: int = MAX_LIMIT,
) -> PageQuery:
    """What `limit`, `order` and `after` ask for. Raises InvalidRequest.

    `allowed` names the other members that the endpoint reads, `default`, `least` and `most` are of its
    limit.
    """
    check_members(params, ("limit", "order", "after", *allowed))
    order = params.get("order", "desc")
    if order not in get_args(Order):
        raise InvalidRequest(
            f"Invalid value: '{order}'. Supported values are: {one_of(get_args(Order))}.",
            param="order",
            code="invalid_value",
        )
    return PageQuery(
        limit=_limit(params, default, least, most),
        order=cast(Order, order),
        after=params.get("after"),
        before=params.get("before"),
    )


def check_members(params: QueryParams, known: tuple[str, ...]) -> None:
    """Raises InvalidRequest for a query member that the endpoint does not read."""
    for name in params:
        if name.removesuffix("[]") not in known:
            raise InvalidRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def asked(params: QueryParams) -> Projection:
    """What shows what `include` asks for, in any of the forms in which clients send lists. Raises
    InvalidRequest."""
    given = [*params.getlist("include[]"), *(v for s in params.getlist("include") for v in s.split(","))]
    for index, value in enumerate(given):
        if value not in get_args(Include):
            raise InvalidRequest(
                f"Invalid value: '{value}'. Supported values are: {one_of(get_args(Include))}.",
                param=f"include[{index}]",
                code="invalid_value",
            )
    return projection(cast(list[Include], given))


async def show_items(page: Page[ItemRow], shows: Projection) -> HttpResponse:
    """A page of items."""
    rows = page.rows
    size = len(rows) + in_bytes(sum(len(row.json) for row in rows))
    shown = await offload(size, lambda: [ItemRow(row.id, shows.stored_item(row.json)) for row in rows])
    return show_page(Page(shown, page.more))


def show_rows(page: Page[T], shown: Callable[[T], HasId]) -> HttpResponse:
    """A page of anything else, of which `shown` makes entries."""
    entries = map(shown, page.rows)
    return show_page(Page([ItemRow(entry.id, encode(entry)) for entry in entries], page.more))


def show_page(page: Page[ItemRow]) -> HttpResponse:
    """The body that every list has."""
    rows = page.rows
    return json(
        {
            "object": "list",
            "data": [msgspec.Raw(row.json) for row in rows],
            "first_id": rows[0].id if rows else None,
            "last_id": rows[-1].id if rows else None,
            "has_more": page.more,
        }
    )


def boolean(params: QueryParams, name: str) -> bool:
    """A member that is `true` or `false`; false when it is left out. Raises InvalidRequest."""
    given = params.get(name, "false").lower()
    if given not in ("true", "false"):
        raise _wrong_type(name, "a boolean")
    return given == "true"


def number(params: QueryParams, name: str, *, default: int) -> int:
    """A member that is a number, 0 or more. Raises InvalidRequest."""
    if name not in params:
        return default
    if not params[name].isascii() or not params[name].isdigit() or len(params[name]) > 18:
        raise _wrong_type(name, "an integer")
    return int(params[name])


def _wrong_type(name: str, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid type for '{name}': expected {expected}, but got a string instead.",
        param=name,
        code="invalid_type",
    )


def _limit(params: QueryParams, default: int, least: int, most: int) -> int:
    given = params.get("limit", str(default))
    try:
        limit = int(given)
    except ValueError:
        raise _wrong_type("limit", "an integer") from None
    if not least <= limit <= most:
        low = limit < least
        raise InvalidRequest(
            f"Invalid 'limit': integer {'below minimum' if low else 'above maximum'} value. Expected a value "
            f"{f'>= {least}' if low else f'<= {most}'}, but got {limit} instead.",
            param="limit",
            code="integer_below_min_value" if low else "integer_above_max_value",
        )
    return limit
