"""A server of each module's own, whose pages are looked at."""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.conftest import Running
from tests.dashboard.browser import chromium, tab_of

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    with tab_of(browser, viewport={"width": 1280, "height": 800}) as tab:
        yield tab


@pytest.fixture
def pages(server: Running) -> Iterator[httpx2.Client]:
    """What a browser would send, without one."""
    with httpx2.Client(base_url=server.url, timeout=30) as pages:
        yield pages
