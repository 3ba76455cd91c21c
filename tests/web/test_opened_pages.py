"""Pages of the web, fetched and read."""

import asyncio
import threading
from collections.abc import Iterator

from tests.website import Page, Website

from antiphon.context.linked import reader
from antiphon.guard.addresses import anywhere
from antiphon.retrieval.documents import Documents
from antiphon.web.fetch import Fetcher
from antiphon.web.pages import Pages


class Counted:
    """How many pages are sent at the same time."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._never = threading.Event()

    def sent(self) -> Iterator[bytes]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        yield b"<html><body><p>"
        self._never.wait(0.05)  # a server that takes a while
        with self._lock:
            self._now -= 1
        yield b"Boats float on water. " * 20


async def test_very_many_pages_at_once_are_not_in_memory_at_once() -> None:
    counted = Counted()
    with Website() as site:
        urls = [f"{site.url}/{number}" for number in range(40)]
        for number in range(40):
            site.pages[f"/{number}"] = Page(counted.sent(), "text/html")
        pages = Pages(Fetcher(anywhere, cache_bytes=0), reader(Documents()))
        found = await asyncio.gather(*(pages.open("p", url) for url in urls))
        await pages.close()

    assert len(found) == 40
    assert 1 < counted.most <= 8
