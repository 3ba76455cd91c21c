"""A server that is killed while a program calls tools in the background: no call is made twice, and the
program ends."""

import json

import pytest
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.api.test_background import ended
from tests.killed import Killed
from tests.scripted import Answer, Upstream
from tests.tools.coding.killing import client, driver, killed
from tests.tools.coding.test_killed_runs import runs
from tests.tools.coding.workbench import Workbench
from tests.tools.test_programs import ONE, PROGRAMS, inner, of_type, program

__all__ = ["client", "driver", "killed"]

PYTHON: Json = {
    "type": "code_interpreter",
    "container": {"type": "auto"},
    "allowed_callers": ["programmatic"],
}
CODE = """const said = [];
for (const n of [1, 2]) {
  try { said.push(await tools.python(`print(${n})`)) } catch (error) { said.push('?') }
}
return said"""


def read_until(client: OpenAI, number: int, *tools: Json) -> str:
    """The id of a background response that was read to its event of this number."""
    response_id = ""
    with client.responses.create(
        model="m",
        input="Hi",
        tools=list(tools),  # type: ignore[arg-type]
        background=True,
        stream=True,
    ) as events:
        for event in events:
            response_id = response_id or event.response.id  # type: ignore[union-attr]
            if event.sequence_number >= number:
                return response_id
    return response_id


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(2, 24))
def test_a_program_ends_and_makes_no_call_twice_whenever_the_server_is_killed(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench, number: int
) -> None:
    upstream.script(program(CODE))
    upstream.default = Answer("Done.", size=2)
    response_id = read_until(client, number, PROGRAMS, PYTHON)
    killed.kill()
    killed.start()

    done = whole(ended(client, response_id))

    assert done["status"] == "completed"
    assert len(of_type(done, "program")) == len(of_type(done, "program_output")) == 1
    (output,) = of_type(done, "program_output")
    said = json.loads(output["result"])
    assert [one in (given, "?") for one, given in zip(said, ["1\n", "2\n"], strict=True)] == [True, True]
    assert len(driver.log) == len(set(driver.log))
    assert said.count("?") <= 1


@pytest.mark.chaos
def test_a_call_that_a_kill_interrupted_is_an_error_in_the_program(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench
) -> None:
    slow = "try { await tools.python('gate.wait(20)') } catch (error) { return error.message }"
    upstream.script(program(slow))
    upstream.default = Answer("Done.")
    response_id = client.responses.create(
        model="m",
        input="Hi",
        tools=[PROGRAMS, PYTHON],
        background=True,  # type: ignore[list-item]
    ).id
    runs(driver, "gate.wait(20)")
    killed.kill()
    killed.start()

    (output,) = of_type(whole(ended(client, response_id)), "program_output")

    assert "interrupted" in output["result"]
    assert driver.log == ["gate.wait(20)"]


@pytest.mark.chaos
@pytest.mark.parametrize("number", [1, 3, 7, 8, 11])
def test_a_program_that_waits_for_the_client_waits_through_a_kill(
    killed: Killed, client: OpenAI, upstream: Upstream, number: int
) -> None:
    # The model may be asked again: what it said first may not be kept yet.
    upstream.default = program("return await Promise.all([tools.one({n: 1}), tools.one({n: 2})])")
    response_id = read_until(client, number, PROGRAMS, ONE)
    killed.kill()
    killed.start()
    first = whole(ended(client, response_id))
    given = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": "4"} for call in inner(first)
    ]
    assert len(given) == 2
    upstream.default = Answer("Done.")

    second = whole(
        client.responses.create(
            model="m",
            input=given,  # type: ignore[arg-type]
            tools=[PROGRAMS, ONE],  # type: ignore[list-item]
            previous_response_id=response_id,
        )
    )

    assert of_type(second, "program_output")[0]["result"] == "[4,4]"
