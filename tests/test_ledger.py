"""The ledger holds: every row has its proof, every proof its row, and the SDK nothing that no row knows."""

from collections.abc import Iterator

import pytest
from openai.types import responses as sdk
from tests import sdk_surface
from tests.ledger import (
    COVERAGE,
    DIFFERENCES,
    NOT_IN_SDK,
    STATES,
    covered,
    covers,
    ids_of,
    key_of,
    kind_of,
    kinds,
    page,
    page_of_differences,
    rows,
)
from tests.shapes import differences, shape, tagged

from antiphon.protocol import events, items, request, response, tools

SDK = sdk_surface.known()
# Tables of what no type of the SDK lists.
UNTYPED = {"header", "error", "member"}


def test_every_row_has_a_test() -> None:
    missing = sorted(rows().keys() - covered().keys())
    assert not missing, f"{len(missing)} rows have no test:\n" + "\n".join(missing)


def test_every_test_names_rows_that_there_are() -> None:
    unknown = {row_id: places for row_id, places in covered().items() if row_id not in rows()}
    assert unknown == {}


def test_every_row_says_what_is_done_and_why_not_all_of_it() -> None:
    for row in rows().values():
        assert row.does in STATES, row
        assert row.seed in ("new", *NOT_IN_SDK) or set(row.seed.split()) <= set("01234"), row
        assert row.does == "acts" or row.why, f"{row.id} does not say why it does not act"


def test_the_coverage_page_is_up_to_date() -> None:
    assert COVERAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.ledger --write"


def test_the_page_of_differences_is_up_to_date() -> None:
    assert DIFFERENCES.read_text(encoding="utf-8") == page_of_differences(), (
        "run: python -m tests.ledger --write"
    )


def test_every_row_that_does_not_act_or_that_differs_is_on_the_page_of_differences() -> None:
    told = page_of_differences()
    for row in rows().values():
        if row.does != "acts" or row.differs:
            assert any(text in told for text in (row.differs, row.why) if text), row.id


# ---- the SDK knows nothing that the ledger does not --------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind not in UNTYPED])
def test_what_the_sdk_knows_has_a_row_and_what_it_does_not_is_marked(kind: str) -> None:
    held = {key_of(row.id): row for row in rows().values() if kind_of(row.id) == kind}
    named = {key if key in SDK[kind] else _stem(key, kind): row for key, row in held.items()}
    assert SDK[kind] - named.keys() == set(), "unknown to the ledger"
    allowed = SDK[kind] | (sdk_surface.all_params() if kind == "param" else set())
    assert {key for key, row in named.items() if row.in_sdk} - allowed == set(), "unknown to the SDK"
    assert {key for key, row in named.items() if not row.in_sdk} & SDK[kind] == set(), "known to the SDK"


def _stem(key: str, kind: str) -> str:
    """Rows may go deeper than the SDK's names: `function.strict` is about the tool `function`."""
    return key.partition(".")[0] if kind.startswith(("item", "tool", "part")) else key


# ---- our types know what the SDK's know -------------------------------------------------------------


def _pairs() -> Iterator[tuple[str, set[str], set[str]]]:
    """Types of theirs and ours that should say the same."""
    theirs, ours = sdk_surface.items(), {tag: [kind] for tag, kind in items.INPUT_ITEMS.items()}
    ours["message"].append(items.AssistantMessage)
    for tag in theirs:
        yield f"item.{tag}", shape(*theirs[tag]), shape(*ours.get(tag, ()))
    for tag, kinds_ in tagged(sdk.Tool).items():
        yield f"tool.{tag}", shape(*kinds_), shape(*tagged(tools.Tool).get(tag, ()))
    for tag, kinds_ in tagged(sdk.ResponseStreamEvent).items():
        if tag in _EVENTS:
            closed = ("response", "item", "part")
            yield f"event.{tag}", shape(*kinds_, closed=closed), shape(_EVENTS[tag], closed=closed)
    closed = ("input", "tools", "output")
    yield (
        "param",
        shape(*sdk_surface.CREATE, closed=closed),
        shape(request.CreateResponse, closed=closed),
    )
    yield "response", shape(sdk.Response, closed=closed), shape(response.Response, closed=closed)


def _kinds_of_events(kind: type[events.Event]) -> Iterator[type[events.Event]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds_of_events(below)


_EVENTS = {events.event_type(kind): kind for kind in _kinds_of_events(events.Event)}


@covers(*ids_of("member"))
def test_our_types_say_what_the_sdk_says_but_for_what_the_ledger_names() -> None:
    found = {False: set[str](), True: set[str]()}
    for name, theirs, ours in _pairs():
        for in_sdk, paths in zip((True, False), differences(theirs, ours), strict=True):
            found[in_sdk] |= {f"member.{name}.{path}" for path in paths}
    for in_sdk, paths in found.items():
        told = {row.id for row in rows().values() if kind_of(row.id) == "member" and row.in_sdk is in_sdk}
        untold = {path for path in paths if not any(_below(path, row) for row in told)}
        assert untold == set(), "the ledger does not tell of it"
        idle = {row for row in told if not any(_below(path, row) for path in paths)}
        assert idle == set(), "there is no such difference any more"


def _below(path: str, row: str) -> bool:
    return path == row or (path.startswith(row) and path[len(row)] in ".[=")
