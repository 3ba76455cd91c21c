"""A driver whose environment is made when it is wanted."""

import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.kept_python import kept_python
from tests.sandbox.boxes import until

from antiphon.sandbox.base import Logs, SandboxUnavailable, Wanted
from antiphon.sandbox.environment import find, place
from antiphon.sandbox.open import Options, driver_of, made_early


@pytest.fixture(scope="session", autouse=True)
def python() -> Path:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return kept_python().folder


@pytest.fixture
def made(python: Path, tmp_path: Path) -> Path:
    """A data directory in which the environment is there."""
    place(tmp_path).parent.mkdir()
    place(tmp_path).symlink_to(python)
    return tmp_path


def there(data_dir: Path, pattern: str) -> list[Path]:
    """What is kept of the sandbox by these names."""
    return list(data_dir.glob(f"sandbox/{pattern}"))


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package can be fetched."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


async def test_what_was_made_is_used(made: Path) -> None:
    driver = driver_of(Options(data_dir=made))
    sandbox = await driver.start(Wanted(name="one"))

    execution = await sandbox.execute("import numpy\nnumpy.arange(3).sum()", 30)
    await driver.close()

    assert execution.error is None
    assert execution.outputs == [Logs("np.int64(3)\n")]
    assert sandbox.ended is not None


async def test_nothing_is_made_for_a_look(tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path))

    assert await driver.obstacle() is None
    await driver.close()

    assert there(tmp_path, "python-*") == []


async def test_who_asks_whether_code_can_run_has_it_made(unreachable: None, tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path))

    assert await driver.check() is None
    with capture_logs() as logs, pytest.raises(SandboxUnavailable, match="could not be made"):
        await driver.start(Wanted(name="one"))
    said = await driver.check()
    await driver.close()

    assert said is not None
    assert "Check the network" in said
    assert [entry["event"] for entry in logs] == ["the Python of the sandboxes was not made"]


async def test_what_has_failed_is_not_tried_again_at_once(unreachable: None, tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path))
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="could not be made"):
            await driver.start(Wanted(name="one"))
    tried = (tmp_path / "sandbox" / ".python.lock").stat().st_mtime_ns

    with pytest.raises(SandboxUnavailable, match="could not be made"):
        await driver.start(Wanted(name="one"))
    await driver.close()

    assert (tmp_path / "sandbox" / ".python.lock").stat().st_mtime_ns == tried


async def test_an_environment_of_the_operators_is_used(python: Path, tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path, environment=python))

    sandbox = await driver.start(Wanted(name="one"))
    execution = await sandbox.execute("import sys\nsys.prefix", 30)
    await driver.close()

    assert execution.error is None
    assert find(tmp_path) is None


async def test_one_that_is_none_is_words(tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path, environment=tmp_path))

    with pytest.raises(SandboxUnavailable, match="no virtual environment that has ipykernel"):
        await driver.start(Wanted(name="one"))
    await driver.close()


async def test_turned_off_nothing_runs_and_it_says_by_what(tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path, driver="none"))

    said = await driver.check()
    with pytest.raises(SandboxUnavailable, match=r"driver of \[sandbox\]"):
        await driver.start(Wanted(name="one"))
    await driver.close()

    assert said is not None
    assert there(tmp_path, "*") == []


async def test_bubblewrap_that_comes_later_is_found(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("antiphon.sandbox.open._LOOK_AGAIN_SECONDS", 0.1)
    driver = driver_of(Options(data_dir=made))
    before = await driver.check()
    for name in os.listdir("/usr/bin"):
        (programs / name).symlink_to(f"/usr/bin/{name}")

    async def look() -> bool:
        return await driver.check() is None

    await until(look)
    await driver.close()

    assert before is not None
    assert "bubblewrap is not installed" in before


async def test_a_server_that_wants_it_early_has_it_made_beside(made: Path) -> None:
    driver = driver_of(Options(data_dir=made))

    async def look() -> bool:
        return there(made, ".python-*.used") != []

    async with made_early(driver):
        await until(look)
    await driver.close()


async def test_a_server_that_stops_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path))

    async def look() -> bool:
        return there(tmp_path, ".making-*") != []

    async with made_early(driver):
        await until(look)
    await driver.close()

    assert find(tmp_path) is None
    assert there(tmp_path, ".making-*") == []
