"""A server that has sandboxes, in a process of its own: `python -m tests.sandbox.served_boxes HOME`.

It prints the processes of its sandbox as this machine knows them, and waits to be killed.
"""

import asyncio
import json
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from tests.sandbox.boxes import said

from antiphon.sandbox.base import Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap


async def main() -> None:
    driver = Bubblewrap(Path(sys.argv[1]))
    if (why := await driver.check()) is not None:
        raise SystemExit(why)
    box = await driver.start(Wanted(name="left"))
    running = asyncio.create_task(box.run(["setsid sleep 600 & exec sleep 600"], 600, 1000))
    await said(box, "until [ $(pgrep -c sleep) = 2 ]; do :; done")
    print(json.dumps(sorted(processes_below(Path("/proc/self")))), flush=True)
    await running


def processes_below(process: Path, but: Collection[int] = ()) -> set[int]:
    """All that come from a process, but for some and what comes of these. What ends meanwhile has none."""
    found: set[int] = set()
    with suppress(OSError):
        for task in (process / "task").iterdir():
            found |= children(task)
    found -= set(but)
    return found.union(*(processes_below(Path(f"/proc/{pid}"), but) for pid in found))


def children(task: Path) -> set[int]:
    """The processes that one thread has begun. None if it ends meanwhile."""
    try:
        return set(map(int, (task / "children").read_text().split()))
    except OSError:
        return set()


if __name__ == "__main__":
    asyncio.run(main())
