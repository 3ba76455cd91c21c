"""Two servers, each with a data directory of its own, with one database and one place for what files hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.api.asking import whole
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.engine.test_shared_queue import KEY
from tests.killed import Killed
from tests.postgres import shared_postgres
from tests.s3 import shared_s3
from tests.scripted import Answer, Upstream
from tests.tools.coding import coding_server
from tests.tools.coding.test_killed_runs import INTERPRETER, SLOW, python, read_until, runs
from tests.tools.coding.workbench import Workbench
from tests.tools.using import ask, read

OUTPUTS = "code_interpreter_call.outputs"
WRITE = "x = 1\nopen('/mnt/data/out.csv', 'w').write('a')"
READ = "print(open('/mnt/data/out.csv').read())"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """What the servers ran, whichever of them."""
    monkeypatch.setenv(coding_server.HOME, str(tmp_path / "bench"))
    return Workbench(tmp_path / "bench")


@pytest.fixture
def servers(upstream: Upstream, tmp_path: Path, driver: Workbench) -> Iterator[list[Killed]]:
    settings = {
        "ANTIPHON_STORE_URL": shared_postgres().url(shared_postgres().create()),
        "ANTIPHON_STORE_SEALING_KEY_ENV": "SEALING_KEY",
        "SEALING_KEY": KEY,
        "ANTIPHON_BLOBS_URL": shared_s3().bucket(),
        **shared_s3().variables,
    }
    one, two = (
        Killed(tmp_path / name, upstream, "tests.tools.coding.coding_server", settings=settings)
        for name in ("one", "two")
    )
    with one, two:
        yield [one, two]


@pytest.fixture
def clients(servers: list[Killed]) -> Iterator[list[OpenAI]]:
    with checked_client(servers[0].url) as one, checked_client(servers[1].url) as two:
        yield [one, two]


def test_a_container_goes_on_with_its_files_on_whichever_server_is_asked(
    clients: list[OpenAI], upstream: Upstream, driver: Workbench
) -> None:
    one, two = clients
    upstream.script(python(WRITE), Answer("Done."), python(READ), python("x"), Answer("It is there."))
    upstream.script(python("open('/mnt/data/out.csv', 'a').write('b')"), Answer("More."))
    upstream.script(python(READ), Answer("All of it."))

    first = ask(one, INTERPRETER)
    second = ask(two, INTERPRETER, previous_response_id=first["id"], include=[OUTPUTS])
    missed = read(upstream)[-1]["content"]
    third = ask(one, INTERPRETER, previous_response_id=second["id"])
    fourth = ask(two, INTERPRETER, previous_response_id=third["id"], include=[OUTPUTS])

    ran = [item for item in second["output"] if item["type"] == "code_interpreter_call"]
    assert ran[0]["outputs"] == [{"type": "logs", "logs": "a\n"}]
    assert "Python was started anew" in str(missed)
    assert fourth["output"][0]["outputs"] == [{"type": "logs", "logs": "ab\n"}]
    assert len({item["container_id"] for item in [*ran, fourth["output"][0]]}) == 1
    assert len(driver.log) == 5, "each code ran once"


def test_a_container_of_a_server_that_died_goes_on_elsewhere(
    servers: list[Killed], clients: list[OpenAI], upstream: Upstream, driver: Workbench
) -> None:
    upstream.script(python(WRITE), python(SLOW), python(READ), Answer("It is there."))
    servers[1].stop()  # so that it is the first one that runs it
    response_id = read_until(clients[0], INTERPRETER, "code_interpreter_call.interpreting", 2)
    runs(driver, SLOW)
    servers[0].kill()
    servers[1].start()

    done = whole(ended(clients[1], response_id))

    assert done["status"] == "completed", done["error"]
    calls = [item for item in done["output"] if item["type"] == "code_interpreter_call"]
    assert [call["status"] for call in calls] == ["completed", "incomplete", "completed"]
    assert len({call["container_id"] for call in calls}) == 1
    assert driver.log == [WRITE, SLOW, READ]
