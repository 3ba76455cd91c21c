"""The table of servers and situations."""

from collections.abc import Iterator, Sequence

from tests.live.run import Outcome

_MARKS = {True: "ok", False: "WRONG", None: "-"}


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    servers = list(dict.fromkeys(outcome.server for outcome in outcomes))
    by_place = {(outcome.situation, outcome.server): outcome for outcome in outcomes}
    yield "".join([f"{'':<10}", *(f"{server:<21}" for server in servers)]).rstrip()
    for situation in dict.fromkeys(outcome.situation for outcome in outcomes):
        cells = (_cell(by_place[situation, server]) for server in servers)
        yield "".join([f"{situation:<10}", *(f"{cell:<21}" for cell in cells)]).rstrip()
    for server in servers:
        yield from _remarks(server, [outcome for outcome in outcomes if outcome.server == server])


def _cell(outcome: Outcome) -> str:
    return f"{_MARKS[outcome.well]} {outcome.seconds:.1f} s" if outcome.well is not None else "-"


def _remarks(server: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    if outcomes[0].well is None:
        yield f"{server}: skipped, {outcomes[0].words}"
        return
    yield from (f"{server}, {each.situation}: {each.words}" for each in outcomes if each.words)
