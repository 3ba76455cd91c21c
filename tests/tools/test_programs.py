"""Programs that call tools, over the wire: the model writes them, the client answers their calls."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, emitted, offered, only, read, result, stream

PROGRAMS: Json = {"type": "programmatic_tool_calling"}


def function(name: str, **members: Any) -> Json:
    return {
        "type": "function",
        "name": name,
        "description": f"About {name}.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "strict": False,
        "allowed_callers": ["programmatic"],
        **members,
    }


ONE, TWO = function("one", output_schema={}), function("two", output_schema={})
BOTH = "const a = await tools.one({n: 1}); const b = await tools.two({n: a.n + 1}); text({k: a.n + b.n})"


def program(code: str, **members: Any) -> Answer:
    """A model that writes a program."""
    return Answer(calls=[Called("run_program", json.dumps({"code": code}))], **members)


def answer(call: Json, output: Any) -> Json:
    return {
        "type": "function_call_output",
        "call_id": call["call_id"],
        "caller": call["caller"],
        "output": output if isinstance(output, str | list) else json.dumps(output),
    }


def inner(response: Json) -> list[Json]:
    """The calls of a program in an output."""
    return [item for item in response["output"] if item["type"] == "function_call"]


def of_type(response: Json, kind: str) -> list[Json]:
    return [item for item in response["output"] if item["type"] == kind]


# ---- the stream, as it was recorded -----------------------------------------------------------------


@covers("tool.programmatic_tool_calling", "item.output.program", "item.output.program_output")
def test_a_program_is_suspended_by_the_clients_functions_and_goes_on_with_their_answers(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(program(BOTH), Answer("Lorem"))

    first = stream(client, PROGRAMS, ONE, TWO)
    assert emitted(first) == [
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    begun, whole, called = (first[at]["item"] for at in (2, 3, 7))
    assert begun == {**whole, "code": ""}
    assert whole["code"] == BOTH
    assert called == {
        "type": "function_call",
        "id": called["id"],
        "call_id": called["call_id"],
        "name": "one",
        "arguments": '{"n":1}',
        "caller": {"type": "program", "caller_id": whole["call_id"]},
        "status": "in_progress",
    }
    assert first[-1]["type"] == "response.completed"
    assert first[-1]["response"]["output"] == [whole, called]

    second = stream(
        client,
        PROGRAMS,
        ONE,
        TWO,
        given=[answer(called, {"n": 4})],
        previous_response_id=first[-1]["response"]["id"],
    )
    assert emitted(second) == emitted(first)[2:]
    (called,) = second[-1]["response"]["output"]
    assert (called["name"], called["arguments"], called["caller"]["caller_id"]) == (
        "two",
        '{"n":5}',
        whole["call_id"],
    )
    assert second[-1]["response"]["usage"]["total_tokens"] == 0
    assert len(upstream.requests) == 1

    third = stream(
        client,
        PROGRAMS,
        ONE,
        TWO,
        given=[answer(called, {"n": 9})],
        previous_response_id=second[-1]["response"]["id"],
    )
    assert emitted(third)[:3] == ["output_item.added", "output_item.done", "output_item.added"]
    added, done = third[2]["item"], third[3]["item"]
    assert added == {
        "type": "program_output",
        "id": added["id"],
        "call_id": whole["call_id"],
        "result": "",
        "status": "completed",
    }
    assert done == {**added, "result": '{"k":13}'}
    assert third[-1]["response"]["output"][1]["content"][0]["text"] == "Lorem"
    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool"]
    assert result(upstream) == '{"k":13}'


# ---- whoever keeps the items ------------------------------------------------------------------------


def answers_to(call: Json) -> Any:
    """What the client's functions give."""
    number = json.loads(call["arguments"])["n"]
    return {"n": number * 10 + (1 if call["name"] == "one" else 2)}


Ways = Mapping[str, Callable[[OpenAI], Callable[[list[Json]], Json]]]


def _chained(client: OpenAI) -> Callable[[list[Json]], Json]:
    before: dict[str, str] = {}

    def send(given: list[Json]) -> Json:
        response = ask(client, PROGRAMS, ONE, TWO, given=given, **before)
        before["previous_response_id"] = response["id"]
        return response

    return send


def _in_a_conversation(client: OpenAI) -> Callable[[list[Json]], Json]:
    conversation = client.conversations.create().id
    return lambda given: ask(client, PROGRAMS, ONE, TWO, given=given, conversation=conversation)


def _kept_by_the_client(client: OpenAI) -> Callable[[list[Json]], Json]:
    said: list[Json] = []

    def send(given: list[Json]) -> Json:
        said.extend(given)
        response = ask(client, PROGRAMS, ONE, TWO, given=list(said), store=False)
        said.extend(response["output"])
        return response

    return send


WAYS: Ways = {"chain": _chained, "conversation": _in_a_conversation, "store: false": _kept_by_the_client}
WORK = """
const first = await Promise.all([tools.one({n: 1}), tools.two({n: 2}), tools.one({n: 1})]);
let sum = first.reduce((all, each) => all + each.n, 0);
for (let i = 0; i < 3; i++) sum += (await tools[Math.random() < 0.5 ? 'one' : 'two']({n: sum})).n;
return sum
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_program_goes_on_whoever_keeps_its_items(client: OpenAI, upstream: Upstream, way: str) -> None:
    upstream.script(program(WORK), Answer("Done."), Answer("Again."))
    send = WAYS[way](client)

    response = send([{"role": "user", "content": "Go"}])
    rounds = []
    while calls := inner(response):
        rounds.append(len(calls))
        response = send([answer(call, answers_to(call)) for call in calls])

    assert rounds == [3, 1, 1, 1]
    (output,) = of_type(response, "program_output")
    assert output["status"] == "completed"
    assert int(output["result"]) > 44
    assert result(upstream) == output["result"]
    send([{"role": "user", "content": "And?"}])
    assert [message["role"] for message in read(upstream)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


def test_answers_that_come_with_words_are_read_behind_the_output(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await tools.one({})"), Answer("Done."))
    first = ask(client, PROGRAMS, ONE)
    given = [answer(inner(first)[0], 5), {"role": "user", "content": "Be brief."}]

    ask(client, PROGRAMS, ONE, given=given, previous_response_id=first["id"])

    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool", "user"]
    assert result(upstream) == "5"


def test_an_answer_without_its_caller_is_that_of_the_programs_call(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(program("return await tools.one({})"), Answer("Done."))
    first = ask(client, PROGRAMS, ONE)
    given = answer(inner(first)[0], 5)
    del given["caller"]

    ask(client, PROGRAMS, ONE, given=[given], previous_response_id=first["id"])

    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool"]


def test_each_call_needs_its_answer(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await Promise.all([tools.one({}), tools.two({})])"))
    first = ask(client, PROGRAMS, ONE, TWO)
    given = [answer(inner(first)[0], 5)]

    with refused(400, None, "input") as refusal:
        ask(client, PROGRAMS, ONE, TWO, given=given, previous_response_id=first["id"])

    assert refusal.message == f"No tool output found for function call {inner(first)[1]['call_id']}."


# ---- nobody else's programs -------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["code", "fingerprint", "call_id"])
def test_a_program_that_is_not_as_it_was_made_does_not_run(
    client: OpenAI, upstream: Upstream, member: str
) -> None:
    upstream.script(program("return await tools.one({})"))
    first = ask(client, PROGRAMS, ONE, store=False)
    made, called = first["output"]
    changed = {**made, member: "return 'mine'" if member == "code" else "call_other"}
    given = [{**called, "caller": {"type": "program", "caller_id": changed["call_id"]}}, answer(called, 5)]

    with refused(400, None, "input") as refusal:
        ask(client, PROGRAMS, ONE, given=[changed, *given], store=False)

    assert refusal.message == f"No tool output found for program {changed['call_id']}."
    assert len(upstream.requests) == 1


# ---- what may be called, and by whom ----------------------------------------------------------------


@covers("tool.function.allowed_callers", "tool.custom.allowed_callers")
def test_the_model_is_offered_what_it_may_call_itself_and_told_what_programs_may(
    client: OpenAI, upstream: Upstream
) -> None:
    either = function("either", allowed_callers=["direct", "programmatic"])
    alone = function("alone", allowed_callers=["direct"])
    note = {"type": "custom", "name": "note", "description": "Notes.", "allowed_callers": ["programmatic"]}
    upstream.script(Answer("Hi."))

    ask(client, PROGRAMS, ONE, either, alone, note)

    shown = offered(upstream)
    assert list(shown) == ["run_program", "either", "alone"]
    about = shown["run_program"]["description"]
    assert "- tools.one\n  About one." in about
    assert '"properties":{"n":{"type":"integer"}}' in about
    assert "returns a value" in about
    assert "tools.either" in about
    assert "tools.note" in about
    assert "tools.alone" not in about


def test_a_program_calls_nothing_that_it_may_not(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return typeof tools.alone"), Answer("Hm."))

    ask(client, PROGRAMS, ONE, function("alone", allowed_callers=["direct"]))

    assert result(upstream) == "undefined"


def test_a_tool_for_programs_alone_cannot_be_chosen(client: OpenAI) -> None:
    with refused(400, None, "tool_choice"):
        ask(client, PROGRAMS, ONE, tool_choice={"type": "function", "name": "one"})


@covers("tool_choice.programmatic_tool_calling")
def test_a_program_can_be_demanded_and_is_so_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await tools.one({})"), Answer("Done."))
    chosen = {"tool_choice": PROGRAMS}

    first = ask(client, PROGRAMS, ONE, **chosen)
    assert upstream.last.body["tool_choice"] == {"type": "function", "function": {"name": "run_program"}}
    ask(client, PROGRAMS, ONE, given=[answer(inner(first)[0], 5)], previous_response_id=first["id"], **chosen)

    assert upstream.last.body.get("tool_choice", "auto") == "auto"


def test_a_request_has_one_tool_for_programs(client: OpenAI) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, PROGRAMS, PROGRAMS)


# ---- the forms of calls and answers -----------------------------------------------------------------


def test_a_custom_tool_takes_a_text_and_its_answer_comes_back(client: OpenAI, upstream: Upstream) -> None:
    note = {"type": "custom", "name": "note", "allowed_callers": ["programmatic"]}
    upstream.script(program("return 'said: ' + await tools.note('hello')"), Answer("Done."))

    first = ask(client, PROGRAMS, note)
    (called,) = of_type(first, "custom_tool_call")
    assert (called["input"], called["caller"]["type"]) == ("hello", "program")
    given = {"type": "custom_tool_call_output", "call_id": called["call_id"], "output": "heard"}
    ask(client, PROGRAMS, note, given=[given], previous_response_id=first["id"])

    assert result(upstream) == "said: heard"


@covers("tool.shell.allowed_callers", "tool.apply_patch.allowed_callers")
def test_shells_and_patches_of_the_client_are_called_too(client: OpenAI, upstream: Upstream) -> None:
    shell, patch = ({"type": kind, "allowed_callers": ["programmatic"]} for kind in ("shell", "apply_patch"))
    code = """const made = tools.apply_patch({type: 'create_file', path: 'a', diff: '+a'}).catch(String);
    return [await tools.shell({commands: ['ls']}), await made]"""
    upstream.script(program(code), Answer("Done."))

    first = ask(client, PROGRAMS, shell, patch)
    _, patched, ran = first["output"]
    assert (patched["operation"]["path"], ran["action"]["commands"]) == ("a", ["ls"])
    assert (
        patched["caller"] == ran["caller"] == {"type": "program", "caller_id": first["output"][0]["call_id"]}
    )
    printed = {"outcome": {"type": "exit", "exit_code": 0}, "stdout": "a\n", "stderr": ""}
    given = [
        {
            "type": "shell_call_output",
            "call_id": ran["call_id"],
            "output": [printed],
            "caller": ran["caller"],
        },
        {
            "type": "apply_patch_call_output",
            "call_id": patched["call_id"],
            "status": "failed",
            "output": "no room",
        },
    ]
    ask(client, PROGRAMS, shell, patch, given=given, previous_response_id=first["id"])

    assert json.loads(result(upstream)) == ["a\n\n[exit code 0]", "Error: no room"]


def test_a_program_calls_with_numbers_of_any_size_and_gets_them(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("const a = await tools.one({n: 1e20}); text(a.n === 2 ** 70)"), Answer("Done."))
    first = ask(client, PROGRAMS, ONE)
    (called,) = inner(first)
    assert called["arguments"] == '{"n":100000000000000000000}'

    last = ask(client, PROGRAMS, ONE, given=[answer(called, {"n": 2**70})], previous_response_id=first["id"])

    (output,) = of_type(last, "program_output")
    assert output["result"] == "true"


def test_an_answer_in_parts_reaches_the_program_in_parts(client: OpenAI, upstream: Upstream) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="
    url = f"data:image/png;base64,{pixel}"
    upstream.script(
        program("const parts = await tools.one({}); text(parts[0].text); image(parts[1])"), Answer("A.")
    )
    first = ask(client, PROGRAMS, ONE)
    parts = [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": url}]

    third = ask(
        client, PROGRAMS, ONE, given=[answer(inner(first)[0], parts)], previous_response_id=first["id"]
    )

    (output,) = of_type(third, "program_output")
    assert [part["type"] for part in json.loads(output["result"])] == ["input_text", "input_image"]
    assert json.loads(output["result"])[1]["image_url"] == url


def test_calls_are_made_one_at_a_time_where_only_one_may_be(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await Promise.all([tools.one({n: 1}), tools.one({n: 2})])"), Answer("A."))
    response = ask(client, PROGRAMS, ONE, parallel_tool_calls=False)
    asked = []
    while calls := inner(response):
        asked.append([call["arguments"] for call in calls])
        response = ask(
            client,
            PROGRAMS,
            ONE,
            given=[answer(call, "7") for call in calls],
            previous_response_id=response["id"],
            parallel_tool_calls=False,
        )

    assert asked == [['{"n":1}'], ['{"n":2}']]
    assert result(upstream) == "[7,7]"


def test_a_call_that_does_not_fit_a_strict_schema_fails_within_the_program(
    client: OpenAI, upstream: Upstream
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    strict = function("one", strict=True, parameters=schema)
    code = """try { await tools.one({n: 'x'}) } catch (error) { text(error.message) }
    return await tools.one({n: 3})"""
    upstream.script(program(code), Answer("Done."))

    first = ask(client, PROGRAMS, strict)
    assert [call["arguments"] for call in inner(first)] == ['{"n":3}']
    ask(client, PROGRAMS, strict, given=[answer(inner(first)[0], "yes")], previous_response_id=first["id"])

    assert "does not fit the function's schema" in result(upstream)
    assert result(upstream).endswith("yes")


# ---- how a program ends -----------------------------------------------------------------------------


def test_a_program_without_calls_ends_within_the_response(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return 6 * 7"), Answer("It is 42."))

    response = ask(client, PROGRAMS, ONE)

    assert [item["type"] for item in response["output"]] == ["program", "program_output", "message"]
    assert response["usage"]["total_tokens"] == 24


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x +", "SyntaxError"),
        ("text('so far'); null.x", "so far\nTypeError"),
        ("while (true);", "processor time"),
    ],
)
def test_what_went_wrong_in_a_program_the_model_reads(
    client: OpenAI, upstream: Upstream, code: str, words: str
) -> None:
    upstream.script(program(code), Answer("Sorry."))

    response = ask(client, PROGRAMS, ONE)

    (output,) = of_type(response, "program_output")
    assert output["status"] == "incomplete"
    assert words in output["result"]
    assert words in result(upstream)
    assert response["status"] == "completed"


def test_a_call_that_is_no_program_is_told_to_the_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("run_program", '{"script": 1}')]), Answer("Sorry."))

    assert only(ask(client, PROGRAMS, ONE))["type"] == "message"

    assert "`code` must be the program" in result(upstream)


def test_a_turn_has_one_program_and_it_stands_behind_the_other_calls(
    client: OpenAI, upstream: Upstream
) -> None:
    alone = function("alone", allowed_callers=["direct"])
    run = json.dumps({"code": "return await tools.one({n: 5})"})
    upstream.script(
        Answer(calls=[Called("run_program", run), Called("run_program", run), Called("alone", "{}")]),
        Answer("A."),
    )

    first = ask(client, PROGRAMS, ONE, alone)

    assert [item.get("name", item["type"]) for item in first["output"]] == ["alone", "program", "one"]
    direct, _, called = first["output"]
    given = [
        {"type": "function_call_output", "call_id": direct["call_id"], "output": "direct"},
        answer(called, "inner"),
    ]
    ask(client, PROGRAMS, ONE, alone, given=given, previous_response_id=first["id"])
    results = [message["content"] for message in read(upstream) if message["role"] == "tool"]
    assert results == ["direct", "inner"]


# ---- beside other things ----------------------------------------------------------------------------


def test_a_program_that_is_sent_again_runs_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await tools.one({})"), Answer("Done."))
    first = ask(client, PROGRAMS, ONE)
    made, called = first["output"]

    again = ask(
        client, PROGRAMS, ONE, given=[made, called, answer(called, 5)], previous_response_id=first["id"]
    )

    assert len(of_type(again, "program_output")) == 1
    assert result(upstream) == "5"


def test_nothing_is_compacted_while_a_program_waits(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(program("return await tools.one({})"), Answer("Done."))
    first = ask(client, PROGRAMS, ONE)
    given = [answer(inner(first)[0], 5)]

    with refused(400, None, "input"):
        ask(
            client,
            PROGRAMS,
            ONE,
            given=[*given, {"type": "compaction_trigger"}],
            previous_response_id=first["id"],
        )

    management = [{"type": "compaction", "compact_threshold": 1000}]
    long = {"role": "user", "content": "x" * 20_000}
    second = ask(
        client,
        PROGRAMS,
        ONE,
        given=[*given, long],
        previous_response_id=first["id"],
        context_management=management,
    )
    assert [item["type"] for item in second["output"]] == ["program_output", "message"]


def test_a_program_goes_on_over_a_websocket_that_keeps_what_nobody_stores(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(program("return await tools.one({n: 3})"), Answer("Done."))
    body = {"model": "m", "tools": [PROGRAMS, ONE], "store": False}
    with client.responses.connect() as connection:

        def said(**members: Any) -> Json:
            connection.response.create(**body, **members)
            last = next(event for event in connection if event.type == "response.completed")
            return last.response.to_dict()  # type: ignore[no-any-return]

        first = said(input="Go")
        second = said(input=[answer(inner(first)[0], {"n": 4})], previous_response_id=first["id"])

    assert [item["type"] for item in second["output"]] == ["program_output", "message"]
    assert result(upstream) == '{"n":4}'


def test_where_there_is_no_v8_the_tool_is_not_offered(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    upstream.script(Answer("Hello."))
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        raw = client.responses.with_raw_response.create(
            model="m",
            input="Hi",
            tools=[PROGRAMS, ONE],  # type: ignore[list-item]
        )
        assert "programmatic_tool_calling" in raw.headers["x-antiphon-warnings"]
        assert offered(upstream) == {}
        with refused(400, "unsupported_value", "tool_choice") as refusal:
            ask(client, PROGRAMS, ONE, tool_choice=PROGRAMS)
    assert "antiphon[programs]" in refusal.message


def test_a_function_of_a_namespace_is_called_by_the_name_that_the_model_knows(
    client: OpenAI, upstream: Upstream
) -> None:
    group = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [ONE]}
    upstream.script(program("return await tools.crm__one({n: 1})"), Answer("Done."))

    first = ask(client, PROGRAMS, group)
    (called,) = inner(first)
    assert (called["name"], called["namespace"]) == ("one", "crm")
    ask(client, PROGRAMS, group, given=[answer(called, 5)], previous_response_id=first["id"])

    assert result(upstream) == "5"
