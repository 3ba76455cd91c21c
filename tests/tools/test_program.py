"""What past programs read as."""

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, read

QUESTION: Json = {"role": "user", "content": "And now?"}
PROGRAM: Json = {"type": "program", "call_id": "call_p", "code": "look()", "fingerprint": "f"}
OUTPUT: Json = {"type": "program_output", "call_id": "call_p", "result": "42", "status": "completed"}


@covers("item.input.program", "item.input.program_output")
def test_a_program_reads_as_a_call_and_its_result(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Done."))

    ask(client, given=[PROGRAM, OUTPUT, QUESTION])

    called, answered, _ = read(upstream)
    assert called["tool_calls"][0]["function"]["arguments"] == '{"code":"look()"}'
    assert answered == {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "42"}


@covers("error.tool_output_missing", "error.tool_call_missing")
@pytest.mark.parametrize(
    ("item", "words"),
    [
        (PROGRAM, "No tool output found for program call_p."),
        (OUTPUT, "No tool call found for program output with call_id call_p."),
    ],
    ids=["program", "output"],
)
def test_one_without_the_other_is_refused(client: OpenAI, upstream: Upstream, item: Json, words: str) -> None:
    with refused(400, None, "input") as refusal:
        ask(client, given=[item, QUESTION])

    assert refusal.message == words
    assert upstream.requests == []
