"""Tests of `guard.debtors`; how the server uses them is tested through HTTP."""

import asyncio
import gc
import weakref

from antiphon.guard.debtors import Debtors


class Client:
    def is_overdue(self, now: float) -> bool:
        return False

    def give_up(self) -> None:
        pass


def test_what_waited_for_them_goes_with_its_loop_and_is_left_in_no_cycle() -> None:
    loop, client = asyncio.new_event_loop(), Client()
    debtors = Debtors(loop, 10, 60.0)
    debtors.add(client)
    debtors.remove(client)
    gone = weakref.ref(debtors)
    gc.disable()
    try:
        loop.close()
        del debtors
        assert gone() is None
    finally:
        gc.enable()
