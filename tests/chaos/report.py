"""What is printed in the end."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.chaos.case import Case
from tests.chaos.upstream import key_of
from tests.chaos.world import World

Faults = Sequence[tuple[Case, str]]


def lines(world: World, recorded: Mapping[str, int], faults: Faults, home: Path) -> Iterator[str]:
    seen, cases = world.seen, world.cases
    yield f"kills      {_counted(seen.kills)}{_times('; graceful stops took', seen.stops)}"
    yield f"runs       {len(cases)}: {_counted(Counter(case.kind for case in cases))}"
    yield f"ended as   {_counted(Counter(case.response.get('status', 'lost') for case in cases))}"
    readers = sum(len(case.readers) for case in cases)
    told = sum(len(told.frames) for case in cases for told in case.readers)
    kept = sum(len(case.log) for case in cases)
    yield f"events     {kept} in logs; {told} told to {readers} readers, with {seen.reconnects} reconnects"
    taken = [case.takeovers for case in cases if case.takeovers]
    waited = _times("; by another worker, after the kill", seen.takeovers)
    yield f"takeovers  {sum(taken)} in {len(taken)} logs{waited}"
    yield f"restarts  {_times(' start of the server to the first continued event', seen.restarts) or ' none'}"
    yield f"calls      {_calls(cases, recorded)}"
    yield f"clients    {seen.lost} requests lost, {seen.busy} told to wait, {seen.early} streams ended early"
    yield f"server     {_tracebacks(world.server.log)} tracebacks in its log"
    yield from _violations(world, faults, home)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counter.items())) or "none"


def _times(what: str, seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    return f"{what}: median {median(seconds):.1f} s, max {max(seconds):.1f} s, of {len(seconds)}"


def _calls(cases: Sequence[Case], recorded: Mapping[str, int]) -> str:
    items = [item for case in cases for item in case.response.get("output", ()) if item["type"] == "mcp_call"]
    told = Counter(item["status"] for item in items)
    cut = {key_of(item["arguments"]) for item in items if item["status"] == "incomplete"}
    effective = sum(recorded[key] > 0 for key in cut)
    return f"{_counted(told)}; of {len(cut)} keys of unknown outcome, {effective} were recorded"


def _tracebacks(log: Path) -> int:
    return log.read_text(errors="replace").count("Traceback (most recent call last)") if log.exists() else 0


def _violations(world: World, faults: Faults, home: Path) -> Iterator[str]:
    if not faults and not world.faults:
        yield "violations none"
        return
    yield f"violations {len(faults) + len(world.faults)}, seed {world.seed}; everything is in {home}"
    for fault, times in Counter(world.faults).most_common():
        yield f"  {times} x {fault}"
    for case, fault in faults:
        yield f"  {case.id} ({case.kind}, {case.plan.prompt()}): {fault[:600]}"


def dump(faults: Faults, home: Path) -> None:
    """One file for each response that is wrong."""
    for case, _ in faults:
        text = json.dumps(case.dump(), indent=1, ensure_ascii=False)
        (home / f"{case.id}.json").write_text(text)
