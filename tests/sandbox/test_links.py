"""Files that code inside leaves for the server to stumble over."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.sandbox.boxes import content, names, put, said, shell
from tests.sandbox.conftest import SECRET

from antiphon.sandbox.base import Sandbox, SandboxError, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap


@pytest.fixture
def host_folder(tmp_path: Path) -> Path:
    """A folder of the host's with a secret in it."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    return folder


TRAPS = {
    "a link to a file": "ln -s {host}/secret trap",
    "a link to a file that is there": "ln -s /etc/passwd trap",
    "a link up": "ln -s ../../../../../../{host}/secret trap",
    "a link into /proc": "ln -s /proc/self/environ trap",
    "a link to an own file": "echo own > /mnt/data/own; ln -s own trap",
    "a second name": "echo x > first; ln first trap",
    "a fifo": "mkfifo trap",
    "a socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"trap\")'",
    "a folder": "mkdir trap",
}


@pytest.mark.parametrize("make", TRAPS.values(), ids=TRAPS)
async def test_what_is_no_file_of_its_own_is_not_read(box: Sandbox, host_folder: Path, make: str) -> None:
    await said(box, make.format(host=host_folder))

    async with asyncio.timeout(60):
        with pytest.raises(FileNotFoundError):
            await content(box, "/mnt/data/trap")
    assert "/mnt/data/trap" not in await names(box)


async def test_no_link_is_followed_on_the_way(box: Sandbox, host_folder: Path) -> None:
    await said(box, f"ln -s {host_folder} out; mkdir real; echo own > real/f; ln -s real inner")

    for path in ("out/secret", "inner/f", "out/../real/f"):
        with pytest.raises((FileNotFoundError, SandboxError)):
            await content(box, f"/mnt/data/{path}")
    with pytest.raises(SandboxError):
        await put(box, "/mnt/data/out/new", b"x")
    with pytest.raises(SandboxError):
        await put(box, "/mnt/data/inner/new/file", b"x")
    with pytest.raises(SandboxError):
        await box.remove("/mnt/data/out/secret")
    assert os.listdir(host_folder) == ["secret"]
    assert await names(box) == ["/mnt/data/real/f"]


@pytest.mark.parametrize(
    "make",
    ["ln -s {host}/secret trap", "mkfifo trap", "ln -s /mnt/data/own trap; echo own > own", "ln own2 trap"],
)
async def test_a_put_replaces_what_stands_there_and_not_what_it_leads_to(
    box: Sandbox, host_folder: Path, make: str
) -> None:
    await said(box, f"echo own > own2; {make.format(host=host_folder)}")

    async with asyncio.timeout(60):
        await put(box, "/mnt/data/trap", b"new")

    assert await content(box, "/mnt/data/trap") == b"new"
    assert (host_folder / "secret").read_text() == SECRET
    assert await said(box, "cat own* | sort -u") == "own"


async def test_a_delete_takes_the_link_and_not_what_it_leads_to(box: Sandbox, host_folder: Path) -> None:
    await said(box, f"ln -s {host_folder}/secret trap")
    await box.remove("/mnt/data/trap")

    assert (host_folder / "secret").exists()
    assert await said(box, "ls -A") == ""


async def test_a_folder_that_turns_into_a_link_while_it_is_read_leads_nowhere(
    box: Sandbox, host_folder: Path
) -> None:
    await said(box, f"mkdir a; echo own > a/secret; ln -s {host_folder} b")
    swapping = asyncio.create_task(
        shell(box, "while :; do mv a c; mv b a; mv a b; mv c a; done 2>/dev/null", seconds=1.5)
    )
    found: set[bytes] = set()
    while not swapping.done():
        try:
            found.add(await content(box, "/mnt/data/a/secret"))
            await put(box, "/mnt/data/a/secret", b"put\n")
        except (FileNotFoundError, SandboxError):
            found.add(b"refused")

    assert found <= {b"own\n", b"put\n", b"refused"}
    assert len(found) > 1
    assert (host_folder / "secret").read_text() == SECRET


async def test_names_that_are_no_text_are_left_out(box: Sandbox) -> None:
    await said(box, r"touch $'bad\xff' good; mkdir $'d\xfe'; touch $'d\xfe/inside'")

    assert await names(box) == ["/mnt/data/good"]


async def test_no_sandbox_sees_what_is_in_another(driver: Bubblewrap, home: Path) -> None:
    one = await driver.start(Wanted(name="one"))
    other = await driver.start(Wanted(name="other"))
    await put(one, "/mnt/data/f", SECRET.encode())
    await said(one, f"echo {SECRET} | tee /tmp/f /dev/shm/f ~/f")
    waiting = asyncio.create_task(shell(one, f"exec -a {SECRET} sleep 600", seconds=600))

    looked = await said(
        other,
        f"cat /tmp/* /dev/shm/* ~/f /mnt/data/* {home}/*/one/data/f /proc/*/cmdline 2>/dev/null || true",
    )
    assert SECRET not in looked
    assert await said(other, "ls -A /tmp /dev/shm ~ /mnt/data | grep -c f$ || true") == "0"
    assert (
        await said(other, f"ls {home} 2>&1 || true")
        == f"ls: cannot access '{home}': No such file or directory"
    )
    await one.close()
    assert (await asyncio.gather(waiting, return_exceptions=True))[0].__class__.__name__ == "SandboxEnded"
    await other.close()


async def test_each_is_a_user_of_its_own_where_this_server_may_make_it_one(driver: Bubblewrap) -> None:
    boxes = [await driver.start(Wanted(name=f"n{number}")) for number in range(3)]
    users = {await said(box, "id -u") for box in boxes}

    assert len(users) == 3 if os.geteuid() == 0 else users == {"1000"}
    assert "0" not in users
    for box in boxes:
        await box.close()
