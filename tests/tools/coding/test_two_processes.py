"""Two server processes over one data directory: a client does not see which of them it asks."""

import json
from pathlib import Path

from tests.api.asking import Json
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.coding.serving import running_code, served
from tests.tools.coding.workbench import Workbench
from tests.tools.using import ask, calls

OUTPUTS = "code_interpreter_call.outputs"
TOOL: Json = {"type": "code_interpreter", "container": {"type": "auto"}}


def python(code: str) -> Answer:
    return calls("python", json.dumps({"code": code}))


def test_the_state_of_python_goes_on_in_the_process_that_has_it(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(python("x = 41"), Answer("Done."), python("print(x + 1)"), Answer("It is 42."))
    other = Workbench(tmp_path / "other")
    with (
        served(upstream, tmp_path) as first,
        running_code(other),
        Running(config_for(upstream, tmp_path)) as second,
        checked_client(second.url) as client,
    ):
        begun = ask(first.client, TOOL, given="x is 41.")
        more = {"previous_response_id": begun["id"], "include": [OUTPUTS]}
        ended = ask(client, TOOL, given="And one more?", **more)

    call = next(item for item in ended["output"] if item["type"] == "code_interpreter_call")
    assert call["outputs"] == [{"type": "logs", "logs": "42\n"}]
    assert (len(first.log), other.log) == (2, [])
