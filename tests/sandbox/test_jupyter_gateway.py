"""Sandboxes elsewhere: the kernels of a real Jupyter gateway."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.commands import Run, run
from tests.sandbox.boxes import content, names, put, shell
from tests.sandbox.gateways import TOKEN, gateway

from antiphon.sandbox.base import DATA, Logs, Sandbox, SandboxEnded, SandboxError, SandboxUnavailable, Wanted
from antiphon.sandbox.gateway import Gateway
from antiphon.sandbox.jupyter_gateway import JupyterGateway
from antiphon.sandbox.open import Options, driver_of

__all__ = ["run"]

SECONDS = 60.0


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with gateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture
async def far(url: str) -> AsyncIterator[JupyterGateway]:
    driver = JupyterGateway(Gateway(url, TOKEN))
    yield driver
    await driver.close()


@pytest.fixture
async def sandbox(far: JupyterGateway) -> Sandbox:
    return await far.start(Wanted(name="far"))


async def logs(sandbox: Sandbox, code: str) -> str:
    execution = await sandbox.execute(code, SECONDS)
    assert execution.error is None, execution.error
    return "".join(each.text for each in execution.outputs if isinstance(each, Logs))


async def test_it_keeps_what_it_was_given(sandbox: Sandbox) -> None:
    assert await logs(sandbox, "x = 20\nprint('set')\nx + 1") == "set\n21\n"
    assert await logs(sandbox, "x + 2") == "22\n"
    assert await logs(sandbox, "import os\nos.getcwd()") == f"'{DATA}'\n"


async def test_an_exception_is_its_traceback(sandbox: Sandbox) -> None:
    execution = await sandbox.execute("print('so far')\n1 / 0", SECONDS)

    assert execution.outputs == [Logs("so far\n")]
    assert str(execution.error).endswith("ZeroDivisionError: division by zero")
    assert "\x1b" not in str(execution.error)


async def test_what_takes_too_long_is_interrupted_and_the_state_is_kept(sandbox: Sandbox) -> None:
    execution = await sandbox.execute("x = 1\nwhile True: pass", 1.0)

    assert "What it has defined so far is still there." in str(execution.error)
    assert await logs(sandbox, "x") == "1\n"


async def test_what_cannot_be_interrupted_is_started_again(sandbox: Sandbox) -> None:
    await put(sandbox, f"{DATA}/kept.txt", b"kept")
    deaf = "x = 1\nimport signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"

    execution = await sandbox.execute(deaf, 0.5)

    assert "Python was started again." in str(execution.error)
    assert await logs(sandbox, "globals().get('x', 'gone')") == "'gone'\n"
    assert await content(sandbox, f"{DATA}/kept.txt") == b"kept"


async def test_code_that_ends_python_says_so_and_the_next_runs(sandbox: Sandbox) -> None:
    execution = await sandbox.execute("x = 1\nimport os\nos._exit(1)", SECONDS)

    assert str(execution.error).startswith("Python has ended.")
    assert await logs(sandbox, "globals().get('x', 'gone')") == "'gone'\n"


async def test_nobody_waits_for_what_was_cancelled(sandbox: Sandbox) -> None:
    await logs(sandbox, "x = 1")
    long = asyncio.ensure_future(sandbox.execute("x = 2\nimport time\ntime.sleep(100)", SECONDS))
    done, _ = await asyncio.wait({long}, timeout=3)
    assert not done
    long.cancel()
    await asyncio.wait({long})

    assert await logs(sandbox, "x") == "2\n"


@pytest.mark.parametrize("code", ["print('x' * 50_000_000)", "'é' * 50_000_000"])
async def test_of_too_much_the_beginning_and_the_end_are_kept(sandbox: Sandbox, code: str) -> None:
    said = await logs(sandbox, code)

    assert "left out" in said
    assert len(said) < 300_000


async def test_commands_run_in_its_folder(sandbox: Sandbox) -> None:
    result = await shell(sandbox, "pwd; echo wrong >&2; exit 3")
    late = await shell(sandbox, "echo begun; sleep 100", 3)
    long = await sandbox.run(["yes | head -c 1000000"], SECONDS, 1000)

    assert (result.stdout, result.stderr, result.exit_code) == (f"{DATA}\n", "wrong\n", 3)
    assert (late.stdout, late.exit_code) == ("begun\n", None)
    assert "left out" in long[0].stdout
    assert len(long[0].stdout) < 1100


async def test_files_go_in_and_out(sandbox: Sandbox) -> None:
    large = bytes(range(256)) * 6000
    await put(sandbox, f"{DATA}/deep/large.bin", large)
    await put(sandbox, f"{DATA}/empty", b"")
    await sandbox.execute(
        "open('made.txt', 'w').write('made')\nimport os\nos.symlink('/etc/passwd', 'link')", SECONDS
    )

    assert await names(sandbox) == [f"{DATA}/deep/large.bin", f"{DATA}/empty", f"{DATA}/made.txt"]
    assert await content(sandbox, f"{DATA}/deep/large.bin") == large
    assert await content(sandbox, f"{DATA}/empty") == b""
    await sandbox.remove(f"{DATA}/empty")
    await sandbox.remove(f"{DATA}/empty")
    assert f"{DATA}/empty" not in await names(sandbox)


async def test_paths_that_lead_elsewhere_are_refused(sandbox: Sandbox) -> None:
    await sandbox.execute("import os\nos.symlink('/etc/passwd', 'link')", SECONDS)

    for path in ("/etc/passwd", f"{DATA}/../x", f"{DATA}/link", f"{DATA}/missing"):
        with pytest.raises(FileNotFoundError):
            await content(sandbox, path)
    for path in ("/etc/passwd", f"{DATA}/../x", "relative"):
        with pytest.raises(SandboxError, match="is not the path of a file below"):
            await put(sandbox, path, b"x")


async def test_what_the_kernel_claims_of_its_files_is_not_believed(sandbox: Sandbox) -> None:
    lie = """
import base64, json, sys
lies = [{"path": path, "size": 1, "modified_ns": 1} for path in ("/etc/passwd", "/mnt/data/../x")]
sys.modules["_antiphon"].call = lambda *_: base64.b64encode(json.dumps(lies).encode()).decode()
"""
    await sandbox.execute(lie, SECONDS)
    assert await names(sandbox) == []

    await sandbox.execute("sys.modules['_antiphon'].call = lambda *_: 'no base64 !'", SECONDS)
    with pytest.raises(SandboxError, match="answers with something else"):
        await names(sandbox)


async def test_kernels_that_share_their_files_are_refused(far: JupyterGateway, sandbox: Sandbox) -> None:
    await put(sandbox, f"{DATA}/mine.txt", b"mine")

    with pytest.raises(SandboxUnavailable, match="share their files"):
        await far.start(Wanted(name="second"))

    assert await content(sandbox, f"{DATA}/mine.txt") == b"mine"


async def test_the_next_kernel_finds_nothing_of_one_that_was_closed(
    far: JupyterGateway, sandbox: Sandbox
) -> None:
    await put(sandbox, f"{DATA}/mine.txt", b"mine")
    await sandbox.close()

    second = await far.start(Wanted(name="second"))

    assert await names(second) == []
    with pytest.raises(SandboxEnded):
        await sandbox.execute("1", SECONDS)


async def test_hosts_cannot_be_allowed(far: JupyterGateway) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot be allowed hosts"):
        await far.start(Wanted(name="wide", domains=["a.example"]))


async def test_it_is_a_driver_of_the_server_without_an_environment(url: str, tmp_path: Path) -> None:
    driver = driver_of(Options(data_dir=tmp_path, driver="jupyter", url=url, token=TOKEN))

    assert await driver.check() is None
    sandbox = await driver.start(Wanted(name="one"))
    assert await logs(sandbox, "1 + 1") == "2\n"
    await driver.close()

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("another", "refuses its token"), (None, "refuses its token")],
)
async def test_a_token_that_is_refused_is_words(url: str, wrong: str | None, said: str) -> None:
    driver = JupyterGateway(Gateway(url, wrong))

    words = await driver.check()
    await driver.close()

    assert words is not None
    assert said in words


async def test_a_gateway_that_is_not_there_is_words() -> None:
    driver = JupyterGateway(Gateway("http://127.0.0.1:9", TOKEN))

    words = await driver.check()
    await driver.close()

    assert words is not None
    assert "cannot be reached" in words


def test_commands_use_it_by_the_configuration(run: Run, url: str) -> None:
    given = {"DRIVER": "jupyter", "URL": url, "TOKEN_ENV": "GATEWAY_TOKEN"}
    variables = {f"ANTIPHON_SANDBOX_{name}": value for name, value in given.items()}

    done = run("sandbox", "run", "print(6 * 7)", **variables, GATEWAY_TOKEN=TOKEN)
    refused = run("sandbox", "setup", **variables)
    shown = run("doctor", **variables, GATEWAY_TOKEN=TOKEN)

    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    assert "refuses its token" in refused.stderr
    assert f"sandbox: kernels of the Jupyter gateway at {url}" in shown.stdout
