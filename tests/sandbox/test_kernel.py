"""The Python of a sandbox: real kernels in real sandboxes of bubblewrap."""

import asyncio
import gc
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.kept_python import kept_python
from tests.sandbox.boxes import until

from antiphon.sandbox.base import Execution, Logs, Picture, Sandbox, SandboxEnded, SandboxError, Wanted
from antiphon.sandbox.boxed import BoxedSandbox
from antiphon.sandbox.bubblewrap import Bubblewrap
from antiphon.sandbox.kernel_process import KernelProcess
from antiphon.sandbox.outputs import CHARACTERS, OUTPUTS

SECONDS = 60.0
FLAT_BYTES = 120 << 20
"""What this process may grow by, whatever comes from inside."""


@pytest.fixture(scope="session")
def python() -> Path:
    return kept_python().folder


@pytest.fixture
async def sandbox(python: Path, tmp_path: Path) -> AsyncIterator[Sandbox]:
    driver = Bubblewrap(tmp_path / "sandbox", lambda: python)
    if reason := await driver.check():
        pytest.skip(reason)
    yield await driver.start(Wanted(name="tried"))
    await driver.close()


async def run(sandbox: Sandbox, code: str, seconds: float = SECONDS) -> Execution:
    return await sandbox.execute(code, seconds)


async def logs(sandbox: Sandbox, code: str) -> str:
    """What code that succeeds prints."""
    execution = await run(sandbox, code)
    assert execution.error is None, execution.error
    return "".join(each.text for each in execution.outputs if isinstance(each, Logs))


@contextmanager
def flat() -> Iterator[None]:
    """The memory of this process does not grow with what comes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < FLAT_BYTES


# ---- what comes of code ---------------------------------------------------------------------------------


async def test_it_keeps_what_it_was_given(sandbox: Sandbox) -> None:
    assert await logs(sandbox, "x = 20\ndef double(n): return 2 * n") == ""
    assert await logs(sandbox, "double(x) + 2") == "42\n"


async def test_what_is_printed_stands_in_order_and_before_the_last_value(sandbox: Sandbox) -> None:
    code = "import sys\nfor n in range(3):\n    print(n)\n    print('e', n, file=sys.stderr)\n'last'"

    execution = await run(sandbox, code)

    assert execution.outputs == [Logs("0\ne 0\n1\ne 1\n2\ne 2\n"), Logs("'last'\n")]
    assert execution.error is None


async def test_what_programs_print_to_either_stream_stands_in_order(sandbox: Sandbox) -> None:
    code = "import os\nos.system('echo 1; echo 2 >&2; echo 3; ls /nowhere')\nos.write(2, b'raw\\n');"

    printed = await logs(sandbox, code)

    assert printed.startswith("1\n2\n3\n")
    assert "/nowhere" in printed
    assert printed.endswith("raw\n")


async def test_programs_are_not_asked_for_colours(sandbox: Sandbox) -> None:
    code = "import os\nprint([name for name in os.environ if 'COLOR' in name], os.environ['TERM'])"

    assert await logs(sandbox, code) == "[] dumb\n"


@pytest.mark.parametrize(
    "code",
    [
        r"print('\ud800')",
        "class Half:\n    def __repr__(self): return '\\ud800'\nHalf()",
        r"raise ValueError('\ud800')",
    ],
    ids=["printed", "shown", "raised"],
)
async def test_half_a_character_is_written_as_python_writes_it(sandbox: Sandbox, code: str) -> None:
    execution = await run(sandbox, code)

    said = "".join(each.text for each in execution.outputs if isinstance(each, Logs))
    assert (said + (execution.error or "")).rstrip().endswith(r"\ud800")
    assert "jupyter_client" not in said


async def test_figures_are_pictures_without_being_asked_for(sandbox: Sandbox) -> None:
    code = "import matplotlib.pyplot as plt\nprint('before')\nplt.plot([1, 2])\nprint('after')"

    execution = await run(sandbox, f"{code};")

    printed, picture = execution.outputs
    assert printed == Logs("before\nafter\n")
    assert isinstance(picture, Picture)
    assert picture.media_type == "image/png"
    assert picture.data.startswith(b"\x89PNG")


async def test_what_is_displayed_is_a_picture_where_there_is_one(sandbox: Sandbox) -> None:
    code = """
from IPython.display import HTML, SVG, display
from PIL import Image
print("first")
display(Image.new("RGB", (4, 4)))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg"/>'))
print("second")
display({"a": 1})
display(HTML("<b>bold</b>"))
"""
    execution = await run(sandbox, code)

    first, image, drawing, second, value, html = execution.outputs
    assert (first, second, value) == (Logs("first\n"), Logs("second\n"), Logs("{'a': 1}\n"))
    assert isinstance(image, Picture)
    assert image.media_type == "image/png"
    assert drawing == Picture("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert html == Logs("<IPython.core.display.HTML object>\n")


async def test_a_wide_table_is_not_folded(sandbox: Sandbox) -> None:
    said = await logs(
        sandbox, "import pandas as pd\npd.DataFrame({f'column{n}': [n] * 2 for n in range(20)})"
    )

    assert len(said.splitlines()) == 3


async def test_an_exception_is_its_traceback_in_plain_text(sandbox: Sandbox) -> None:
    execution = await run(sandbox, "print('so far')\ndef half(n):\n    return n / 0\nhalf(1)")

    assert execution.outputs == [Logs("so far\n")]
    assert execution.error is not None
    assert "----> 3     return n / 0" in execution.error
    assert execution.error.endswith("ZeroDivisionError: division by zero")
    assert not any(word in execution.error for word in ("\x1b", "ipykernel", "antiphon"))


async def test_nobody_types(sandbox: Sandbox) -> None:
    execution = await run(sandbox, "input('name? ')")

    assert execution.error is not None
    assert execution.error.endswith("EOFError: input() does not work here: there is nobody who types.")
    assert "ipykernel" not in execution.error


@pytest.mark.parametrize(
    ("code", "failed"), [("import sys\nsys.exit(0)", False), ("exit()", False), ("exit(3)", False)]
)
async def test_leaving_does_not_take_the_state_along(sandbox: Sandbox, code: str, failed: bool) -> None:
    await run(sandbox, "x = 1")

    assert ((await run(sandbox, code)).error is not None) is failed

    assert await logs(sandbox, "x") == "1\n"


async def test_its_folder_is_the_one_of_the_files_and_programs_print_too(sandbox: Sandbox) -> None:
    assert await logs(sandbox, "import os\nos.getcwd()") == "'/mnt/data'\n"
    assert "from a shell" in await logs(sandbox, "!echo from a shell")
    assert "from a child" in await logs(
        sandbox, "import subprocess\n_ = subprocess.run(['echo', 'from a child'])"
    )


SLOW = """
import os, threading, time
from ipykernel.iostream import OutStream
write = OutStream.write
def slowly(stream, text):
    if threading.current_thread() is not threading.main_thread(): time.sleep(0.3)
    return write(stream, text)
OutStream.write = slowly
"""


async def test_what_is_written_last_is_not_lost_when_the_thread_that_reads_it_is_slow(
    sandbox: Sandbox,
) -> None:
    await run(sandbox, SLOW)

    assert await logs(sandbox, "_ = os.write(1, b'the last')") == "the last"


async def test_a_character_may_be_written_in_two_halves(sandbox: Sandbox) -> None:
    halves = "import os, time\n_ = os.write(1, b'caf\\xc3'); time.sleep(0.2); _ = os.write(1, b'\\xa9')"

    assert await logs(sandbox, halves) == "café"


async def test_code_that_closes_its_descriptors_costs_nothing(sandbox: Sandbox) -> None:
    used = "import os, time\nbegun = time.process_time(); time.sleep(0.5); time.process_time() - begun < 0.2"

    await run(sandbox, "import os\nos.close(1); os.close(2)")

    assert await logs(sandbox, used) == "True\n"


async def test_executions_wait_for_each_other(sandbox: Sandbox) -> None:
    slow = asyncio.ensure_future(logs(sandbox, "import time\nx = 1\ntime.sleep(0.5)\nx = 2"))
    await asyncio.sleep(0)

    assert await logs(sandbox, "x") == "2\n"
    assert await slow == ""


# ---- what takes too long --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import subprocess\nsubprocess.run(['sleep', '100'])",
        "import time\ntime.sleep(100)",
    ],
    ids=["a loop", "a program", "a pause"],
)
async def test_what_takes_too_long_is_interrupted_and_the_state_is_kept(sandbox: Sandbox, code: str) -> None:
    await run(sandbox, "x = 1")

    execution = await run(sandbox, f"print('so far')\nx = 2\n{code}", 2.0)

    assert execution.outputs == [Logs("so far\n")]
    assert execution.error == (
        "Stopped: the code took longer than 2 seconds. What it has defined so far is still there."
    )
    assert await logs(sandbox, "x") == "2\n"
    (left,) = await sandbox.run(["pgrep -x sleep"], 10, 1000)
    assert left.stdout == ""


@pytest.mark.parametrize(
    "code",
    ["import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", "10 ** 10 ** 9"],
    ids=["ignores signals", "does not return to Python"],
)
async def test_what_cannot_be_interrupted_is_ended_and_python_starts_anew(
    sandbox: Sandbox, code: str
) -> None:
    await run(sandbox, "x = 1")

    execution = await run(sandbox, code, 0.5)

    assert execution.error is not None
    assert "could not be interrupted. Python was ended" in execution.error
    assert await logs(sandbox, "globals().get('x', 'gone')") == "'gone'\n"


async def test_a_python_that_nobody_waits_for_ends_with_its_sandbox_without_a_word(
    sandbox: Sandbox,
) -> None:
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    assert isinstance(sandbox, BoxedSandbox)
    process = await KernelProcess.start(sandbox)
    ending = asyncio.create_task(process.end())
    await asyncio.sleep(0)
    ending.cancel()
    await sandbox.close()

    await asyncio.wait({process.exited, ending})
    del process, ending
    gc.collect()

    assert said == []


async def test_nobody_waits_for_what_was_cancelled(sandbox: Sandbox) -> None:
    await run(sandbox, "x = 1")
    long = asyncio.ensure_future(run(sandbox, "import time\nx = 2\nopen('f', 'w').close()\ntime.sleep(100)"))
    await sandbox.run(["until [ -e f ]; do sleep 0.05; done"], SECONDS, 1000)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long

    assert await logs(sandbox, "x") == "2\n"


# ---- what ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os\nos._exit(3)", "it exited with code 3"),
        ("import os\nos.kill(os.getpid(), 9)", "it was killed by SIGKILL"),
        ("import ctypes\nctypes.string_at(0)", "it was killed by SIGSEGV"),
    ],
)
async def test_code_that_ends_python_says_so_and_the_next_runs(sandbox: Sandbox, code: str, why: str) -> None:
    execution = await run(sandbox, f"x = 1\n{code}")

    assert execution.error == f"Python has ended: {why}. Variables, functions and imports of before are lost."
    assert await logs(sandbox, "globals().get('x', 'gone')") == "'gone'\n"
    assert sandbox.ended is None


async def test_python_that_was_killed_in_between_starts_again_with_a_word(sandbox: Sandbox) -> None:
    pid = await logs(sandbox, "import os\nos.getpid()")
    await sandbox.run([f"kill -9 {pid}", f"while kill -0 {pid.strip()} 2>/dev/null; do :; done"], 10, 100)
    await sandbox.run(["true"], 10, 100)  # that it has ended was said before this is answered

    first, second = await logs(sandbox, "1 + 1"), await logs(sandbox, "1 + 1")

    assert first.startswith("[Python was started again: ")
    assert first.endswith("2\n")
    assert second == "2\n"


async def test_a_sandbox_that_ends_meanwhile_is_no_fault_of_python(sandbox: Sandbox) -> None:
    running = asyncio.ensure_future(run(sandbox, "import time\ntime.sleep(100)"))
    await sandbox.run(["true"], 10, 100)
    await sandbox.close()

    with pytest.raises(SandboxEnded):
        await running
    with pytest.raises(SandboxEnded):
        await run(sandbox, "1")


async def test_an_object_that_is_too_large_is_a_memory_error(sandbox: Sandbox) -> None:
    execution = await run(sandbox, "x = 1\ny = bytearray(6 << 30)")

    assert execution.error is not None
    assert "MemoryError" in execution.error
    assert await logs(sandbox, "x") == "1\n"


# ---- too much -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("print('x' * 50_000_000)", CHARACTERS),
        ("'x' * 50_000_000", CHARACTERS),
        ("for n in range(1_000_000): print('x' * 100)", CHARACTERS),
        ("for n in range(1000): display(n)", OUTPUTS * 10),
        ("for n in range(1000): display('x' * 10_000)", 6 * CHARACTERS),
    ],
)
async def test_of_too_much_the_beginning_and_the_end_are_kept(sandbox: Sandbox, code: str, most: int) -> None:
    with flat():
        said = await logs(sandbox, code)

    assert "left out" in said
    assert len(said) < most + 500


async def test_a_message_of_an_exception_is_bounded_too(sandbox: Sandbox) -> None:
    execution = await run(sandbox, "raise ValueError('x' * 50_000_000)")

    assert execution.error is not None
    assert len(execution.error) < CHARACTERS + 500


async def test_an_image_that_is_too_large_is_words(sandbox: Sandbox) -> None:
    code = "import os\nfrom PIL import Image\nImage.frombytes('RGB', (2000, 2000), os.urandom(12_000_000))"

    assert "too large to be shown" in await logs(sandbox, code)
    assert await logs(sandbox, "1") == "1\n"


async def test_printing_for_ever_is_stopped_in_time(sandbox: Sandbox) -> None:
    with flat():
        execution = await run(sandbox, "while True: print('x' * 1000)", 2.0)

    assert execution.error is not None
    assert "is still there" in execution.error
    assert await logs(sandbox, "1") == "1\n"


async def test_a_thread_that_prints_for_ever_is_in_nobodys_way(sandbox: Sandbox) -> None:
    talk = "def talk():\n    while True: print('talk' * 1000)\n"
    await run(sandbox, f"import threading\n{talk}threading.Thread(target=talk, daemon=True).start()")

    with flat():
        for _ in range(3):
            assert "'quiet'\n" in await logs(sandbox, "'quiet'")


# ---- a kernel that is no kernel --------------------------------------------------------------------------

SENDS = "from zmq import Context\nfrom ipykernel.kernelapp import IPKernelApp\napp = IPKernelApp.instance()\n"


async def test_what_is_no_message_is_passed_over(sandbox: Sandbox) -> None:
    code = f"""{SENDS}
for frames in (
    [b"x"],
    [b"<IDS|MSG>"],
    [b"<IDS|MSG>", b"", b"{{}}", b"{{}}", b"{{}}", b"{{}}"],
    [b"stream", b"<IDS|MSG>", b"0" * 64] + [b"{{"] * 4,
    [b"<IDS|MSG>", b"0" * 64] + [b"[" * 500_000] * 4,
    [b"x" * 7_000_000],
):
    for n in range(5):
        app.iopub_thread.send_multipart(frames)
print("well")
"""
    with flat():
        assert await logs(sandbox, code) == "well\n"


@pytest.mark.parametrize("kind", ["stream", "display_data", "error", "status"])
async def test_signed_nonsense_is_no_output(sandbox: Sandbox, kind: str) -> None:
    code = f"""{SENDS}
session, parent = app.session, app.kernel.get_parent("shell")
members = b'{{"text": 3, "data": [], "traceback": {{}}, "execution_state": []}}'
image = b'{{"data": {{"image/png": "no base64", "text/plain": [1]}}}}'
for content in (b"{{" * 1000, b"[" * 500_000, b"[1]", b"null", members, image, bytes([255]) * 9):
    message = session.msg({kind!r}, {{}}, parent=parent)
    message["content"] = content
    app.iopub_thread.send_multipart(session.serialize(message))
print("well")
"""
    assert await logs(sandbox, code) == "well\n"


async def test_a_message_that_is_too_large_costs_its_kernel_and_nobody_else(sandbox: Sandbox) -> None:
    with flat():
        execution = await run(sandbox, f"{SENDS}\napp.iopub_thread.send_multipart([b'x' * 100_000_000])", 3.0)

    assert execution.outputs == [Logs("[What came last was too much, and is left out]\n")]
    assert (await logs(sandbox, "1")).endswith("lost.]\n1\n")


async def test_a_flood_of_large_messages_costs_the_flooder(sandbox: Sandbox) -> None:
    code = f"{SENDS}\nwhile True: app.iopub_thread.send_multipart([b'x' * 7_000_000])"
    before = time.process_time()

    with flat():
        await run(sandbox, code, 3.0)

    assert time.process_time() - before < 2.0
    assert (await logs(sandbox, "1")).endswith("1\n")


async def test_a_link_in_the_place_of_a_socket_leads_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    path = str(tmp_path / "host.sock")
    swap = f"""
import glob, os
while True:
    for name in glob.glob('/run/antiphon/k*-[124]'):
        if not os.path.islink(name):
            os.symlink({path!r}, name + 'link')
            os.rename(name + 'link', name)
"""
    await run(sandbox, f"open('swap.py', 'w').write({swap!r})")
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(path)
        host.listen()
        host.setblocking(False)
        start = "subprocess.Popen(['python3', 'swap.py'], start_new_session=True)"
        await run(sandbox, f"import os, subprocess\n{start}\nos._exit(0)")

        async def until_a_link_comes_first() -> None:
            while True:
                await run(sandbox, "import os\nos._exit(0)")

        with pytest.raises(SandboxError, match="no socket where one should be"):
            await until_a_link_comes_first()

        with pytest.raises(BlockingIOError):
            host.accept()


async def test_nothing_is_left_open(sandbox: Sandbox) -> None:
    await run(sandbox, "1")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        await run(sandbox, "import os\nos._exit(0)")
        await run(sandbox, "1")

    async def as_before() -> bool:  # others of this process may have one for a moment
        return len(os.listdir("/proc/self/fd")) <= before + 1

    await until(as_before)
