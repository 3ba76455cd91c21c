"""Programs that call what runs in containers: the shell, and the code interpreter."""

import json

import pytest
from openai import OpenAI
from tests.api.asking import Json
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.coding.serving import Coding
from tests.tools.test_programs import ONE, PROGRAMS, answer, inner, of_type, program
from tests.tools.using import ask, read, result

SHELL: Json = {
    "type": "shell",
    "environment": {"type": "container_auto"},
    "allowed_callers": ["programmatic"],
}
PYTHON: Json = {
    "type": "code_interpreter",
    "container": {"type": "auto"},
    "allowed_callers": ["programmatic"],
}


@covers("tool.shell.allowed_callers")
def test_commands_run_within_a_program(client: OpenAI, upstream: Upstream) -> None:
    code = """const said = await tools.shell({commands: ['echo one', 'echo two >&2']});
    return said.split('\\n').filter((line) => line && !line.startsWith('['))"""
    upstream.script(program(code), Answer("Done."))

    response = ask(client, PROGRAMS, SHELL)

    kinds = ["program", "shell_call", "shell_call_output", "program_output", "message"]
    assert [item["type"] for item in response["output"]] == kinds
    made, call, output = response["output"][:3]
    assert call["caller"] == output["caller"] == {"type": "program", "caller_id": made["call_id"]}
    assert json.loads(result(upstream)) == ["one", "two"]
    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool"]


@covers("tool.code_interpreter.allowed_callers")
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "store: false"])
def test_python_runs_once_whoever_answers_beside_it(
    client: OpenAI, upstream: Upstream, coding: Coding, stored: bool
) -> None:
    code = """const printed = await tools.python('print(6 * 7)');
    const told = await tools.one({n: Number(printed)});
    return [printed, told.n, await tools.python({code: 'print(1)'})]"""
    upstream.script(program(code), Answer("Done."))
    before = len(coding.log)
    user: Json = {"role": "user", "content": "Go"}

    first = ask(client, PROGRAMS, PYTHON, ONE, given=[user], store=stored)
    assert [item["type"] for item in first["output"]] == ["program", "code_interpreter_call", "function_call"]
    given = answer(inner(first)[0], {"n": 4})
    kept = {} if stored else {"store": False}
    known = [given] if stored else [user, *first["output"], given]
    chained = {"previous_response_id": first["id"]} if stored else {}
    second = ask(client, PROGRAMS, PYTHON, ONE, given=known, **kept, **chained)

    assert len(of_type(second, "code_interpreter_call")) == 1
    assert json.loads(result(upstream)) == ["42\n", 4, "1\n"]
    assert coding.log[before:] == ["print(6 * 7)", "print(1)"]
