"""Where no sandbox can be started, it is said what helps."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest
from tests.sandbox.boxes import left, said, shell

from antiphon.sandbox import arguments, problems
from antiphon.sandbox.base import Sandbox, SandboxUnavailable, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap


async def test_what_is_there_is_found_once(driver: Bubblewrap, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", "/nonesuch")
        assert await driver.check() is None


async def test_who_does_not_wait_for_it_does_not_end_it(home: Path) -> None:
    driver = Bubblewrap(home)
    for delay in (0.0, 0.01, 0.03):
        checking = asyncio.create_task(driver.check())
        await asyncio.sleep(delay)
        checking.cancel()
        await asyncio.wait({checking})
    if (why := await driver.check()) is not None:
        pytest.skip(why)

    assert len(left(home, "lock")) == 1
    await driver.close()
    assert left(home, "lock") == []


async def test_without_bubblewrap_it_is_said_how_to_install_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonesuch")
    driver = Bubblewrap(home)
    command = "apt-get install bubblewrap" if os.geteuid() == 0 else "sudo apt-get install bubblewrap"

    assert await driver.check() == f"bubblewrap is not installed: `{command}`."
    with pytest.raises(SandboxUnavailable, match="not installed"):
        await driver.start(Wanted(name="one"))
    await driver.close()


async def test_a_program_of_that_name_that_is_too_old_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho '--args FD --seccomp FD'\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert "too old" in str(await Bubblewrap(home).check())
    assert left(home, "lock") == []


async def test_where_namespaces_are_refused_it_is_said_what_helps(box: Sandbox) -> None:
    """As they are inside of a sandbox."""
    result = await shell(box, "bwrap --unshare-user --ro-bind / / true")
    if result.exit_code == 127:
        pytest.skip("bwrap is not in /usr")

    words = problems.explain(result.stderr)
    assert result.exit_code != 0
    assert "bubblewrap cannot start a sandbox" in words
    assert "namespaces" in words


async def test_a_home_that_cannot_be_made_is_a_reason(tmp_path: Path, driver: Bubblewrap) -> None:
    (tmp_path / "file").write_text("")

    assert "cannot hold sandboxes" in str(await Bubblewrap(tmp_path / "file" / "home").check())


@pytest.mark.parametrize(
    "folder", ["/usr/local/antiphon", "/lib/antiphon", f"{sys.base_prefix}/lib/antiphon"]
)
async def test_a_home_that_sandboxes_would_see_is_refused(folder: str) -> None:
    assert "which sandboxes see" in str(await Bubblewrap(Path(folder)).check())


@pytest.mark.parametrize(
    "words",
    [
        "bwrap: No permissions to create new namespace, likely because the kernel does not allow "
        "non-privileged user namespaces. On e.g. debian this can be enabled with "
        "'sysctl kernel.unprivileged_userns_clone=1'.",
        "bwrap: setting up uid map: Permission denied",
        "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
        "bwrap: Creating new namespace failed: Operation not permitted",
    ],
)
@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "bwrap-userns-restrict"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
        ("kernel/nothing", "0", "container"),
    ],
)
def test_what_helps_depends_on_what_the_machine_is_set_to(
    words: str, setting: str, value: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    monkeypatch.setattr(problems, "_SYSCTLS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert remedy in problems.explain(words)


async def test_older_bubblewraps_are_used_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which cannot bound folders in memory: these are on disk then, and bounded with all else."""
    find = problems.find
    monkeypatch.setattr(problems, "find", lambda: _older(find()))
    driver = Bubblewrap(home)
    if (why := await driver.check()) is not None:
        pytest.skip(why)
    box = await driver.start(Wanted(name="older"))

    assert (
        await said(box, "touch /tmp/a /dev/shm/b ~/c && ls ~ /tmp && id -un")
        == "/home/oai:\nc\nskills\n\n/tmp:\na\noai"
    )
    assert len(left(home, "older/unsized/*/[abc]")) == 3
    await driver.close()


def _older(bubblewrap: arguments.Bubblewrap) -> arguments.Bubblewrap:
    return msgspec.structs.replace(bubblewrap, sizes=False, disables_namespaces=False)
