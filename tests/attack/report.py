"""What is printed in the end."""

from collections.abc import Iterator

from tests.attack.world import Held, Record

_MB = 2**20
_SHOWN = 40


def lines(record: Record) -> Iterator[str]:
    tried = ", ".join(f"{name} {times:,}" for name, times in record.tried.items())
    yield f"tried       {sum(record.tried.values()):,}: {tried}"
    answers = ", ".join(f"{status}: {times:,}" for status, times in sorted(record.statuses.items()))
    yield f"answers     {answers}"
    yield f"5xx         {sum(times for status, times in record.statuses.items() if status >= 500):,}"
    yield f"failed      {sum(times for fault, times in record.faults.items() if fault.status == 200):,}"
    for fault, times in record.faults.most_common():
        verdict = "allowed" if fault.allowed else "VIOLATION"
        yield f"  {times:>6,}  {fault.status}  {verdict:<9}  {fault.code:<16}  {fault.words}"
    yield f"hangs       {record.hangs}"
    if record.held:
        worst = max(record.held, key=lambda held: held.worst)
        yield f"worst hold  {worst.worst * 1000:.0f} ms, by {worst.name}"
    yield f"memory      {record.most_memory // _MB} MB at most; its children {record.most_children // _MB} MB"
    yield from (f"skipped     {what}" for what in record.skipped)
    yield f"violations  {len(record.violations) or 'none'}"
    yield from (f"  {what}" for what in record.violations[:_SHOWN])


def line(held: Held) -> str:
    """What one input did."""
    return (
        f"{held.name:<48} {held.status:>5} {held.seconds:7.2f} s  held {held.worst * 1000:7.0f} ms"
        f"  grown {held.grown // _MB:5} MB"
    )
