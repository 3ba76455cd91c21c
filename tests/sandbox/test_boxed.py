"""What a sandbox does, in a real one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.sandbox.boxes import content, left, names, pieces, put, said, shell, until

from antiphon.sandbox.base import Limits, Sandbox, SandboxEnded, SandboxError, SandboxUnavailable, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap


async def test_commands_run_one_after_another_in_the_folder_of_the_files(box: Sandbox) -> None:
    first, second, third = await box.run(["pwd; echo on err >&2", "echo a > f; exit 3", "cat f"], 10, 1000)

    assert (first.stdout, first.stderr, first.exit_code) == ("/mnt/data\n", "on err\n", 0)
    assert second.exit_code == 3
    assert third.stdout == "a\n"


async def test_the_shell_is_that_of_a_common_machine(box: Sandbox) -> None:
    assert await said(box, "id -un; echo $HOME; hostname; echo ä | wc -m") == "oai\n/home/oai\nsandbox\n2"
    assert await said(box, "python3 -c 'import ssl, sqlite3; print(6 * 7)'") == "42"
    assert await said(box, "echo one two | awk '{print $2}' | sed s/o/0/ | sort") == "tw0"
    assert await said(box, "cd && touch a && cd /tmp && touch b && mktemp | cut -c1-5") == "/tmp/"
    assert await said(box, "seq 100000 > big; gzip big; ls") == "big.gz"


async def test_a_program_that_is_not_there_is_an_exit_code(box: Sandbox) -> None:
    result = await shell(box, "nonesuch")

    assert result.exit_code == 127
    assert "nonesuch: command not found" in result.stderr


async def test_a_signal_that_ends_a_command_is_an_exit_code_as_a_shell_has_it(box: Sandbox) -> None:
    assert (await shell(box, "kill -TERM $$")).exit_code == 128 + 15


async def test_a_command_that_takes_too_long_is_stopped_and_what_it_printed_is_kept(box: Sandbox) -> None:
    result = await shell(box, "echo before; sleep 600; echo after", seconds=3)

    assert (result.stdout, result.exit_code) == ("before\n", None)


@pytest.mark.parametrize(
    "leave",
    [
        "sleep 600 &",
        "nohup sleep 600 >/dev/null 2>&1 &",
        "setsid sleep 600 &",
        "(setsid sh -c 'sleep 600 & sleep 600' &)",
        "(trap '' TERM HUP INT; setsid sleep 600 >/dev/null 2>&1 &) & disown",
        "for i in $(seq 20); do (setsid sh -c 'setsid sleep 600 &' &); done; sleep 0.1",
    ],
)
@pytest.mark.parametrize("seconds", [10.0, 0.3])
async def test_nothing_that_a_command_leaves_outlives_it(box: Sandbox, leave: str, seconds: float) -> None:
    result = await shell(box, f"{leave}\n[ {seconds} = 10.0 ] || sleep 60", seconds)

    assert (result.exit_code is None) == (seconds < 1)
    assert await said(box, "pgrep -c sleep || true") == "0"


async def test_the_first_and_the_last_characters_of_a_stream_are_kept(box: Sandbox) -> None:
    (result,) = await box.run(["echo first; seq 300000; echo last; echo short >&2"], 20, 1000)

    assert len(result.stdout) == 1000
    assert result.stdout.startswith("first\n1\n2\n")
    assert result.stdout.endswith("299999\n300000\nlast\n")
    assert "left out" in result.stdout
    assert result.stderr == "short\n"


@pytest.mark.parametrize("most", [0, 1, 2, 7, 99, 100, 101, 5000])
async def test_no_more_than_the_characters_that_are_wanted_are_kept(box: Sandbox, most: int) -> None:
    (result,) = await box.run(["for i in $(seq 2000); do printf 'äöü€😀'; done"], 20, most)

    assert len(result.stdout) <= most
    assert most < 100 or len(result.stdout) == most
    assert "\ufffd" not in result.stdout.strip("\ufffd")


async def test_what_fits_is_kept_whole(box: Sandbox) -> None:
    (result,) = await box.run(["printf 'ä%.0s' $(seq 1000)"], 10, 1000)

    assert result.stdout == "ä" * 1000


async def test_bytes_that_are_no_text_are_shown_as_such(box: Sandbox) -> None:
    assert (await shell(box, r"printf 'a\xff\x00b'")).stdout == "a\ufffd\x00b"


async def test_a_line_without_end_is_cut_and_not_lost(box: Sandbox) -> None:
    (result,) = await box.run(["head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end"], 30, 20_000)

    assert result.stdout.startswith("xxx")
    assert result.stdout.endswith("x\nend\n")
    assert len(result.stdout) == 20_000


async def test_who_does_not_wait_for_a_command_any_more_ends_it(box: Sandbox) -> None:
    task = asyncio.create_task(box.run(["exec sleep 600"], 600, 1000))
    await until(lambda: _runs(box, "sleep"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: _no_longer_runs(box, "sleep"))


async def _runs(box: Sandbox, program: str) -> bool:
    return await said(box, f"pgrep -c {program} || true") != "0"


async def _no_longer_runs(box: Sandbox, program: str) -> bool:
    return not await _runs(box, program)


async def test_commands_may_run_at_the_same_time(box: Sandbox) -> None:
    """Each waits for all the others."""
    wait = "until [ $(ls | wc -l) = 8 ]; do sleep 0.05; done"
    results = await asyncio.gather(*(shell(box, f"touch {n}; {wait}; echo {n}", 20) for n in range(8)))

    assert [result.stdout for result in results] == [f"{number}\n" for number in range(8)]


async def test_a_command_of_megabytes_is_refused_or_run_and_the_next_one_works(box: Sandbox) -> None:
    result = await shell(box, "echo " + "x" * 3_000_000)

    assert result.exit_code == 127
    assert "Argument list too long" in result.stderr
    assert await said(box, "echo well") == "well"


async def test_files_go_in_and_come_out(box: Sandbox) -> None:
    await box.write("/mnt/data/in/deep/a.bin", pieces(b"one", b"", b"two" * 200_000))
    await put(box, "/home/oai/skills/maps-1/SKILL.md", b"# Maps")

    assert await said(box, "wc -c < in/deep/a.bin; cat /home/oai/skills/*/SKILL.md") == "600003\n# Maps"
    assert await said(box, "echo more >> in/deep/a.bin; mv in/deep/a.bin in/deep/b.bin; mkdir in/x") == ""
    assert (await content(box, "/mnt/data/in/deep/b.bin")).endswith(b"twomore\n")
    assert await names(box) == ["/mnt/data/in/deep/b.bin"]
    await box.remove("/mnt/data/in/deep/b.bin")
    await box.remove("/mnt/data/in/deep/b.bin")
    assert await names(box) == []


async def test_a_file_has_its_size_and_the_time_of_its_last_change(box: Sandbox) -> None:
    await said(box, "printf 12345 > f; touch -d @1000000000.5 f")

    (entry,) = await box.files()
    assert (entry.path, entry.size, entry.modified_ns) == ("/mnt/data/f", 5, 1_000_000_000_500_000_000)


async def test_a_put_replaces_what_is_there_while_it_is_read(box: Sandbox) -> None:
    await put(box, "/mnt/data/f", b"old" * 500_000)
    reading = box.read("/mnt/data/f")
    first = await anext(reading)
    await put(box, "/mnt/data/f", b"new")

    assert first.startswith(b"old")
    assert b"new" not in b"".join([piece async for piece in reading])
    assert await said(box, "cat f") == "new"


async def test_a_put_whose_source_fails_leaves_nothing(box: Sandbox, home: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise ValueError("the source failed")

    with pytest.raises(ValueError, match="the source failed"):
        await box.write("/mnt/data/f", failing())

    assert await names(box) == []
    assert not left(home, "box/incoming/*")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/mnt/data",
        "/mnt/data/",
        "/mnt/data/..",
        "/mnt/data/../x",
        "/mnt/data/a/../../../etc/x",
        "/mnt/dataset",
        "/home/oai/x",
        "/home/oai/skills",
        "relative",
        "",
        "/mnt/data/a\0b",
        "/mnt/data/" + "n" * 300,
        "/mnt/data/" + "d/" * 80 + "f",
    ],
)
async def test_a_path_that_leads_elsewhere_is_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(SandboxError):
        await put(box, path, b"x")
    with pytest.raises(SandboxError):
        await box.remove(path)
    with pytest.raises((SandboxError, FileNotFoundError)):
        await content(box, path)


async def test_a_folder_is_no_file(box: Sandbox) -> None:
    await said(box, "mkdir folder; touch folder/f")

    with pytest.raises(SandboxError, match="folder"):
        await put(box, "/mnt/data/folder", b"x")
    with pytest.raises(SandboxError, match="folder"):
        await box.remove("/mnt/data/folder")
    with pytest.raises(SandboxError, match="folder/f/x"):
        await put(box, "/mnt/data/folder/f/x", b"x")
    with pytest.raises(FileNotFoundError):
        await content(box, "/mnt/data/folder")


async def test_skills_can_be_read_and_not_changed(box: Sandbox) -> None:
    await put(box, "/home/oai/skills/one/run.sh", b"echo runs")

    assert (
        await said(box, "/bin/sh /home/oai/skills/one/run.sh; test -x /home/oai/skills/one/run.sh") == "runs"
    )
    assert (await shell(box, "echo x > /home/oai/skills/one/run.sh")).exit_code == 1
    assert (await shell(box, "rm -rf /home/oai/skills/one")).exit_code == 1


async def test_what_is_closed_is_gone_and_says_so(driver: Bubblewrap, home: Path) -> None:
    box = await driver.start(Wanted(name="one"))
    running = asyncio.create_task(box.run(["sleep 600"], 600, 1000))
    await said(box, "true")
    await asyncio.gather(box.close(), box.close())

    assert box.ended == "It was closed."
    for call in (running, shell(box, "true"), put(box, "/mnt/data/f", b""), box.files(), box.execute("1", 5)):
        with pytest.raises(SandboxEnded, match="closed"):
            await call
    assert not left(home, "one")


async def test_a_name_is_taken_while_its_sandbox_lives_and_free_afterwards(driver: Bubblewrap) -> None:
    box = await driver.start(Wanted(name="one"))
    with pytest.raises(SandboxUnavailable, match="'one'"):
        await driver.start(Wanted(name="one"))
    await box.close()

    await (await driver.start(Wanted(name="one"))).close()


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65, "ä"])
async def test_a_name_that_is_no_name_is_refused(driver: Bubblewrap, name: str) -> None:
    with pytest.raises(SandboxUnavailable, match="name"):
        await driver.start(Wanted(name=name))


async def test_twenty_start_at_once_and_each_has_its_own(driver: Bubblewrap) -> None:
    boxes = await asyncio.gather(*(driver.start(Wanted(name=f"n{number}")) for number in range(20)))
    await asyncio.gather(*(put(box, "/mnt/data/n", str(number).encode()) for number, box in enumerate(boxes)))

    assert await asyncio.gather(*(said(box, "cat *") for box in boxes)) == [str(n) for n in range(20)]
    await asyncio.gather(*(box.close() for box in boxes))


async def test_a_start_that_nobody_waits_for_any_more_leaves_nothing(driver: Bubblewrap, home: Path) -> None:
    for delay in (0, 0.001, 0.005, 0.01, 0.02, 0.03):
        start = asyncio.create_task(driver.start(Wanted(name="one")))
        await asyncio.sleep(delay)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert not left(home, "one")

    await (await driver.start(Wanted(name="one"))).close()


async def test_limits_are_those_that_were_asked_for(driver: Bubblewrap) -> None:
    limits = Limits(memory_bytes=256 << 20, disk_bytes=64 << 20, processes=40)
    box = await driver.start(Wanted(name="small", limits=limits))

    assert await said(box, "ulimit -d -f -u | awk '{print $NF}'") == f"{256 << 10}\n{60 << 10}\n40"
    assert await said(box, "df --output=size -BM /tmp | tail -1 | tr -d ' '") == "32M"
    await box.close()


async def test_no_program_of_the_host_is_given_what_is_left_of_a_crash(box: Sandbox) -> None:
    """A limit of 0 is not enough where cores go into a pipe."""
    assert await said(box, "prlimit --core --output=SOFT,HARD --noheadings --raw") == "1 1"


async def test_without_an_environment_there_is_a_shell_and_python_says_what_to_do(box: Sandbox) -> None:
    with pytest.raises(SandboxError, match="antiphon sandbox setup"):
        await box.execute("1 + 1", 10)

    assert await said(box, "echo well") == "well"
