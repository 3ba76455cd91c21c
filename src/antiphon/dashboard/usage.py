"""Usage: requests and tokens by day, model and key."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.page import page, routes_of, url_with
from antiphon.dashboard.plot import Column, columns
from antiphon.protocol.errors import InvalidRequest
from antiphon.store.activity import UsageRow

PERIODS = ("7", "30", "90")
"""Days that can be looked at."""
MOST = 100
"""Models and keys that are shown, the most used ones."""
_DAY = 86_400


class Used(Struct):
    """What was used of one kind: on a day, with a model, with a key."""

    name: str
    requests: int = 0
    failures: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def add(self, row: UsageRow) -> None:
        for member in Used.__struct_fields__[1:]:
            setattr(self, member, getattr(self, member) + getattr(row, member))


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/usage"""
    params = request.query_params
    period, model, key = params.get("days", "30"), params.get("model", ""), params.get("key", "")
    if period not in PERIODS:
        raise InvalidRequest(f"days is one of {', '.join(PERIODS)}.", param="days")
    today = int(time.time()) // _DAY
    days = range(today - int(period) + 1, today + 1)
    found = await services(request).store.activity.usage(project(request), days[0])
    rows = [row for row in found.rows if model in ("", row.model) and key in ("", row.api_key)]
    data = {
        "days": period,
        "filters": {"model": model, "key": key},
        "partial": found.more,
        "total": _added(rows, lambda _: "total", ["total"])[0],
        "by_day": _added(rows, lambda row: _date(row.day), [_date(day) for day in days]),
        "by_model": _most(_added(rows, lambda row: row.model)),
        "by_key": _most(_added(rows, lambda row: row.api_key or "")),
    }
    helpers = {"periods": PERIODS, "plot": plot, "url_with": lambda **members: url_with(request, **members)}
    return await page(request, "usage.html", data, helpers=helpers)


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).strftime("%Y-%m-%d")


def _added(
    rows: Sequence[UsageRow], name: Callable[[UsageRow], str], names: Iterable[str] = ()
) -> list[Used]:
    """The rows by a name of theirs, added up; `names` are there also without a row."""
    found = {each: Used(each) for each in names}
    for row in rows:
        found.setdefault(name(row), Used(name(row))).add(row)
    return list(found.values())


def _most(used: Sequence[Used]) -> list[Used]:
    return sorted(used, key=lambda each: -each.requests)[:MOST]


def plot(used: Sequence[Used], parts: Sequence[tuple[str, str, str]]) -> object:
    """Columns of days. A part is called something, and is one member without another one."""
    shown = []
    for each in used:
        values = msgspec.structs.asdict(each)
        shown.append(Column(each.name[5:], [values[of] - values.get(less, 0) for _, of, less in parts]))
    return columns(shown, [name for name, _, _ in parts])


routes = routes_of("/dashboard/usage", show)
