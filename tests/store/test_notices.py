"""Who waits for something to be written."""

import asyncio

from antiphon.store.notices import Notices


async def test_who_leaves_leaves_nothing_behind_and_takes_nobody_with_him() -> None:
    notices = Notices(60)
    waiting = [asyncio.create_task(notices.wait("log")) for _ in range(100)]
    await asyncio.sleep(0)
    for gone in waiting[:50]:
        gone.cancel()
    await asyncio.wait(waiting[:50])

    notices.report("another log")
    notices.report("log")

    _, asleep = await asyncio.wait(waiting, timeout=60)
    assert (len(asleep), notices.topics) == (0, 0)


async def test_a_report_is_for_those_who_wait_and_not_for_those_who_come() -> None:
    notices = Notices(60)
    notices.report("log")
    late = asyncio.create_task(notices.wait("log"))
    await asyncio.sleep(0)
    assert not late.done()
    notices.report("log")
    await late
