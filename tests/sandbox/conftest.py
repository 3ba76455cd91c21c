"""Real sandboxes; where bubblewrap cannot run, the tests are skipped, with its words."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.sandbox.base import Sandbox, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap

SECRET = "sk-antiphon-0123456789"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
async def driver(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bubblewrap]:
    monkeypatch.setenv("ANTIPHON_SECRET", SECRET)
    driver = Bubblewrap(home)
    if (why := await driver.check()) is not None:
        pytest.skip(why)
    yield driver
    await driver.close()


@pytest.fixture
async def box(driver: Bubblewrap) -> Sandbox:
    return await driver.start(Wanted(name="box"))
