"""Several agents in one response (beta), with the official client."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from tests.api.asking import whole
from tests.ledger import covers
from tests.papers import picture_url, png
from tests.scripted import Answer, Called, Gate, Upstream

from antiphon.engine.agents import TURNS_IN_ALL

Json = dict[str, Any]
BETA: Any = ["responses_multi_agent=v1"]


def says(*wanted: str, last: str | None = None) -> Any:
    """Whether a model is asked whose messages have these texts, the newest one `last`."""

    def asked(body: Any) -> bool:
        told = [str(message.get("content")) for message in body["messages"]]
        return all(any(text in each for each in told) for text in wanted) and (
            last is None or last in told[-1]
        )

    return asked


def spawn(name: str, task: str) -> Called:
    return Called("spawn_agent", f'{{"task_name": "{name}", "message": "{task}"}}')


def ask(client: OpenAI, given: Any = "Compare a and b.", **members: Any) -> Json:
    response = client.beta.responses.create(
        model="m", input=given, multi_agent={"enabled": True}, betas=BETA, **members
    )
    told: Json = whole(response)
    return told


def of(response: Json, agent: str) -> Sequence[Json]:
    return [item for item in response["output"] if item["agent"]["agent_name"] == agent]


LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
WAITS = Called("wait_agent")
WAIT = Answer(calls=[WAITS])


def texts(response: Json, agent: str) -> list[str]:
    """What an agent says."""
    return [item["content"][0]["text"] for item in of(response, agent) if item["type"] == "message"]


def outcomes(response: Json, agent: str = "/root") -> list[tuple[str, str]]:
    """What came of the actions of an agent."""
    items = [item for item in of(response, agent) if item["type"] == "multi_agent_call_output"]
    return [(item["action"], item["output"][0]["text"]) for item in items]


@covers(
    "param.multi_agent",
    "item.input.agent_message",
    "item.input.multi_agent_call",
    "item.input.multi_agent_call_output",
    "part.encrypted_content",
)
def test_agents_work_side_by_side_and_the_root_sums_up(client: OpenAI, upstream: Upstream) -> None:
    gates = {name: Gate(after=0) for name in ("a", "b")}
    upstream.on(says("to you, /root/a:", "Look at a."), Answer("a is red.", gate=gates["a"]))
    upstream.on(says("to you, /root/b:", "Look at b."), Answer("b is blue.", gate=gates["b"]))
    both = Answer(calls=[spawn("a", "Look at a."), spawn("b", "Look at b."), Called("wait_agent")])
    upstream.on(says("a is red.", "b is blue."), Answer("Red and blue."))
    upstream.on(says("a is red."), WAIT)
    upstream.on(says("b is blue."), WAIT)
    upstream.on(says("Compare a and b."), both)
    with client.beta.responses.create(
        model="m",
        input="Compare a and b.",
        instructions="Be brief.",
        multi_agent={"enabled": True},
        betas=BETA,
        stream=True,
    ) as stream:
        events = iter(stream)
        told = [next(events)]
        for gate in gates.values():
            gate.wait_reached()
        for gate in gates.values():  # both were asked before either has answered
            gate.open()
        told += events

    response: Json = whole(told[-1])["response"]
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert response["status"] == "completed"
    assert texts(response, "/root/a") == ["a is red."]
    assert texts(response, "/root/b") == ["b is blue."]
    last = response["output"][-1]
    assert (last["agent"], last["phase"]) == ({"agent_name": "/root"}, "final_answer")
    assert texts(response, "/root")[-1] == "Red and blue."
    assert ("spawn_agent", "The agent /root/a has begun.") in outcomes(response)
    letters = [item for item in response["output"] if item["type"] == "agent_message"]
    ways = {(item["author"], item["recipient"]) for item in letters}
    assert ways == {(f"/root{x}", f"/root{y}") for x, y in [("", "/a"), ("", "/b"), ("/a", ""), ("/b", "")]}
    assert all(part["type"] == "encrypted_content" for item in letters for part in item["content"])
    assert "red" not in str(letters)
    first = next(each for each in upstream.requests if "to you, /root/a:" in str(each.body))
    assert [message["role"] for message in first.body["messages"]] == ["system", "user"]
    asked = len(upstream.requests)
    assert response["usage"]["input_tokens"] == 7 * asked


@pytest.mark.parametrize("chained", [True, False])
def test_agents_that_call_the_client_go_on_in_the_next_request(
    client: OpenAI, upstream: Upstream, chained: bool
) -> None:
    upstream.on(says("Look at a.", last="red"), Answer("a is red."))
    upstream.on(says("to you, /root/a:", last="Look at a."), Answer(calls=[Called("look", "{}")]))
    upstream.on(says(last="a is red."), Answer("It is red."))
    upstream.on(says("has begun", last="nobody works"), WAIT)
    upstream.on(says(last="What is a?"), Answer(calls=[spawn("a", "Look at a."), Called("wait_agent")]))
    members: Json = {"tools": [LOOK], "store": chained}

    first = ask(client, "What is a?", **members)

    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    assert (first["status"], call["agent"]) == ("completed", {"agent_name": "/root/a"})
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
    if chained:
        members["previous_response_id"] = first["id"]
        second = ask(client, [output], **members)
    else:
        question = {"role": "user", "content": "What is a?"}
        second = ask(client, [question, *first["output"], output], **members)
    assert texts(second, "/root/a") == ["a is red."]
    assert texts(second, "/root")[-1] == "It is red."


def test_whoever_waits_for_one_that_waits_for_the_client_has_not_said_its_last(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.on(says("to you, /root/a/b:", last="red"), Answer("b is red."))
    upstream.on(says("to you, /root/a/b:"), Answer(calls=[Called("look", "{}")]))
    upstream.on(says("to you, /root/a:", last="b is red."), Answer("a heard: red."))
    upstream.on(says("to you, /root/a:", last="Have it seen."), Answer(calls=[spawn("b", "Look."), WAITS]))
    upstream.on(says(last="a heard: red."), Answer("It is red."))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Have it seen."), WAITS]))
    upstream.on(says(last="nobody works"), WAIT)
    first = ask(client, "Go.", tools=[LOOK])
    told = [item["author"] for item in first["output"] if item["type"] == "agent_message"]
    assert told == ["/root", "/root/a"]  # their tasks, and nothing else
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
    second = ask(client, [output], tools=[LOOK], previous_response_id=first["id"])
    assert texts(second, "/root/a")[-1] == "a heard: red."
    assert texts(second, "/root")[-1] == "It is red."


def test_no_more_go_on_at_once_than_may(client: OpenAI, upstream: Upstream) -> None:
    gates = {name: Gate(after=0) for name in "abc"}
    for name in "abc":
        upstream.on(says(f"to you, /root/{name}:", last="red"), Answer(f"{name} is red.", gate=gates[name]))
        upstream.on(says(f"to you, /root/{name}:", last="Look."), Answer(calls=[Called("look", "{}")]))
    upstream.on(says("a is red.", "b is red.", "c is red."), Answer("All are red."))
    upstream.on(says(last="What are they?"), Answer(calls=[*(spawn(name, "Look.") for name in "abc"), WAITS]))
    upstream.on(says("has begun"), WAIT)
    first = ask(client, "What are they?", tools=[LOOK])
    calls = [item["call_id"] for item in first["output"] if item["type"] == "function_call"]
    outputs: Any = [{"type": "function_call_output", "call_id": each, "output": "red"} for each in calls]

    asked = len(upstream.requests)
    with client.beta.responses.create(
        model="m",
        input=outputs,
        previous_response_id=first["id"],
        tools=[LOOK],
        multi_agent={"enabled": True, "max_concurrent_subagents": 1},
        betas=BETA,
        stream=True,
    ) as stream:
        for name in "abc":
            gates[name].wait_reached()
            working = [each for each in upstream.requests[asked:] if "to you, /root/" in str(each.body)]
            assert len(working) == "abc".index(name) + 1
            gates[name].open()
        response: Json = whole(list(stream)[-1])["response"]
    assert texts(response, "/root")[-1] == "All are red."


def test_no_more_work_at_once_than_may_and_names_are_new(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(says("to you, /root/a:"), Answer("Done.", gate=gate))
    calls = [spawn("a", "One."), spawn("b", "Two."), spawn("a", "Three."), spawn("../c", "Four.")]
    others = [Called("send_message", '{"target": "/root/z", "message": "x"}'), Called("list_agents")]
    upstream.on(says("Done."), Answer("All done."))
    upstream.on(says(last="works"), WAIT)
    upstream.on(says(last="Go."), Answer(calls=[*calls, *others]))
    response = client.beta.responses.create(
        model="m",
        input="Go.",
        multi_agent={"enabled": True, "max_concurrent_subagents": 1},
        betas=BETA,
        stream=True,
    )
    events = []
    for event in response:
        events.append(whole(event))
        if sum(each["type"] == "response.output_item.done" for each in events) == 2 * 6 + 1:
            gate.open()
    told = outcomes(events[-1]["response"])
    assert [action for action, _ in told] == [
        *["spawn_agent"] * 4,
        "send_message",
        "list_agents",
        "wait_agent",
    ]
    assert "has begun" in told[0][1]
    assert "1 agents work already" in told[1][1]
    assert "task_name is new" in told[2][1]
    assert "task_name is new" in told[3][1]
    assert "no such agent" in told[4][1]
    assert '"/root/a","status":"works","task":"One."' in told[5][1]


def test_an_agent_is_interrupted_and_given_more_to_do(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(says("to you, /root/a:", last="Better this."), Answer("This is better."))
    upstream.on(says("to you, /root/a:"), Answer("Never said", gate=Gate(after=1)))
    more = Called("followup_task", '{"target": "/root/a", "message": "Better this."}')
    upstream.on(says(last="This is better."), Answer("Thanks."))
    upstream.on(says(last="is interrupted"), Answer(calls=[more, Called("wait_agent")]))
    upstream.on(says(last="has begun"), Answer(calls=[Called("interrupt_agent", '{"target": "/root/a"}')]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Wrong.")]))
    response = ask(client, "Go.")
    assert response["status"] == "completed"
    assert texts(response, "/root/a")[-1] == "This is better."
    assert texts(response, "/root") == ["Thanks."]


def test_an_agent_that_is_interrupted_waits_for_its_client_no_more(
    client: OpenAI, upstream: Upstream
) -> None:
    gate = Gate(after=0)
    upstream.on(says("to you, /root/a:", last="Better this."), Answer("This is better."))
    upstream.on(says("to you, /root/a:"), Answer(calls=[Called("look")]))
    more = Called("followup_task", '{"target": "/root/a", "message": "Better this."}')
    upstream.on(says(last="This is better."), Answer("Thanks."))
    upstream.on(says(last="is interrupted"), Answer(calls=[more, WAITS]))
    halt = Answer(calls=[Called("interrupt_agent", '{"target": "/root/a"}')], gate=gate)
    upstream.on(says(last="has begun"), halt)
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Wrong.")]))
    with client.beta.responses.create(
        model="m", input="Go.", multi_agent={"enabled": True}, tools=[LOOK], betas=BETA, stream=True
    ) as stream:
        told: list[Json] = []
        for event in stream:
            told.append(whole(event))
            if told[-1].get("item", {}).get("type") == "function_call":
                gate.open()
    first: Json = told[-1]["response"]
    (output,) = [item for item in first["output"] if item["type"] == "function_call_output"]
    assert (output["agent"], output["output"]) == ({"agent_name": "/root/a"}, "The agent was interrupted.")
    assert texts(first, "/root/a") == ["This is better."]
    asked = next(
        each.body["messages"] for each in upstream.requests if "Better" in str(each.body["messages"][-1])
    )
    assert [each["role"] for each in asked][-3:] == ["assistant", "tool", "user"]
    upstream.on(says(last="And now?"), Answer("Done."))
    again: Json = {"tools": [LOOK], "previous_response_id": first["id"]}
    assert texts(ask(client, "And now?", **again), "/root") == ["Done."]


def test_whoever_waits_for_one_that_another_interrupts_reads_so(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(says("to you, /root/a/b:"), Answer("Never said.", gate=Gate(after=0)))
    upstream.on(says("to you, /root/a:", last="I was interrupted."), Answer("b was stopped."))
    upstream.on(says("to you, /root/a:", last="has begun"), Answer("I wait."))
    upstream.on(says("to you, /root/a:"), Answer(calls=[spawn("b", "Dig.")]))
    upstream.on(says(last="b was stopped."), Answer("The end."))
    upstream.on(says(last="nobody works"), Answer("Nobody told me."))
    upstream.on(says(last="is interrupted"), WAIT)
    stop = Called("interrupt_agent", '{"target": "/root/a/b"}')
    upstream.on(says(last="has begun"), Answer(calls=[stop], gate=gate))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Have it dug.")]))
    with client.beta.responses.create(
        model="m", input="Go.", multi_agent={"enabled": True}, betas=BETA, stream=True
    ) as stream:
        upstream.wait_requests(5)  # two of the root, two of /root/a, and that of /root/a/b
        gate.open()
        *_, last = stream
    response: Json = whole(last)["response"]
    assert texts(response, "/root/a")[-1] == "b was stopped."
    assert texts(response, "/root") == ["The end."]


def test_agents_have_agents_and_whoever_ends_is_woken_by_what_they_find(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.on(says("to you, /root/a/b:"), Answer("Deep."))
    upstream.on(says("from the agent /root to", last="Deep."), Answer("a heard: Deep."))
    upstream.on(says("to you, /root/a:", last="has begun"), Answer("I wait."))
    upstream.on(says("to you, /root/a:"), Answer(calls=[spawn("b", "Dig.")]))
    upstream.on(says(last="a heard: Deep."), Answer("The end."))
    upstream.on(says(last="has begun"), Answer("Later."))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Have it dug.")]))
    response = ask(client, "Go.")
    assert texts(response, "/root/a/b") == ["Deep."]
    assert texts(response, "/root/a")[-1] == "a heard: Deep."
    phases = [item["phase"] for item in of(response, "/root") if item["type"] == "message"]
    assert texts(response, "/root") == ["Later.", "The end."]
    assert phases == ["commentary", "final_answer"]


def test_who_waits_for_each_other_does_not_wait_for_ever(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(says("to you, /root/a:", last="nobody works"), Answer("Nothing came."))
    upstream.on(says("to you, /root/a:"), WAIT)
    upstream.on(says("Nothing came."), Answer("So be it."))
    upstream.on(says(last="nobody works"), WAIT)
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Wait."), Called("wait_agent")]))
    response = ask(client, "Go.")
    assert texts(response, "/root") == ["So be it."]


def test_an_agent_that_fails_tells_so_and_the_others_go_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(says("to you, /root/a:"), Answer(status=400, error={"error": {"message": "No."}}))
    upstream.on(says("I could not finish"), Answer("It failed."))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Fail."), Called("wait_agent")]))
    response = ask(client, "Go.")
    assert (response["status"], texts(response, "/root")) == ("completed", ["It failed."])


def test_a_root_that_is_cut_short_ends_the_response(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(says("to you, /root/a:"), Answer("Never said.", gate=gate))
    upstream.on(says(last="has begun"), Answer("And so", finish="length"))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Take long.")]))
    response = ask(client, "Go.")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    slow = next(each for each in upstream.requests if "to you, /root/a:" in str(each.body))
    slow.wait_gone()


def test_letters_of_a_response_that_is_cut_short_are_read_in_the_next(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.on(says("to you, /root/a:", last="Mind the rest."), Answer("a is done."))
    upstream.on(says("to you, /root/a:"), Answer("Never said.", gate=Gate(after=0)))
    upstream.on(says("a is done."), Answer("The end."))
    upstream.on(says(last="Go on."), WAIT)
    upstream.on(says(last="reads it before"), Answer("And so", finish="length"))
    letter = Called("send_message", '{"target": "/root/a", "message": "Mind the rest."}')
    upstream.on(says(last="has begun"), Answer(calls=[letter]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Look at a.")]))
    first = ask(client, "Go.")
    assert first["incomplete_details"] == {"reason": "max_output_tokens"}
    second = ask(client, "Go on.", previous_response_id=first["id"])
    assert texts(second, "/root/a") == ["a is done."]
    assert texts(second, "/root") == ["The end."]


def test_agents_that_keep_each_other_busy_come_to_an_end(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(says("to you, /root/a:"), Answer("Done."))
    more = Called("followup_task", '{"target": "/root/a", "message": "Again."}')
    upstream.on(says("has begun"), Answer(calls=[more, Called("wait_agent")]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Begin."), Called("wait_agent")]))
    response = ask(client, "Go.")
    assert response["incomplete_details"] == {"reason": "max_messages"}
    assert len(upstream.requests) == TURNS_IN_ALL


@pytest.mark.parametrize(
    ("param", "members"),
    [
        ("max_tool_calls", {"max_tool_calls": 3}),
        ("reasoning.summary", {"reasoning": {"summary": "auto"}}),
        ("multi_agent", {"background": True}),
        ("multi_agent", {"tools": [{"type": "programmatic_tool_calling"}]}),
        ("tools", {"tools": [{**LOOK, "name": "spawn_agent"}]}),
    ],
)
def test_what_several_agents_cannot_have_is_refused(
    client: OpenAI, upstream: Upstream, param: str, members: Json
) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, **members)
    assert refused.value.param == param
    assert upstream.requests == []


def told(text: str) -> Json:
    """The message of an agent that Codex runs."""
    sealed = {"type": "encrypted_content", "encrypted_content": text}
    return {"type": "agent_message", "author": "/root", "recipient": "/root/a", "content": [sealed]}


@pytest.mark.parametrize("sealed", ["gAAAAABo" + "xY3_-" * 20 + "==", "Ab+/" * 10])
def test_what_another_server_has_sealed_is_not_read(client: OpenAI, sealed: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, [{"role": "user", "content": "Hi"}, told(sealed)])
    assert refused.value.code == "invalid_encrypted_content"


@pytest.mark.parametrize("text", ["Look into it.", "Continue", "Zähle\n" + "a" * 100])
def test_what_an_agent_of_the_client_was_told_in_the_clear_is_read(
    client: OpenAI, upstream: Upstream, text: str
) -> None:
    """The API seals what a model writes as an argument that its schema calls encrypted; here it stays as it
    was written, and so Codex hands it on."""
    upstream.script(Answer("I will."))
    given: Any = [{"role": "user", "content": "Hi"}, told(text)]
    client.responses.create(model="m", input=given)
    assert upstream.last.body["messages"][-1]["content"].endswith(f"/root/a:\n{text}")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/root/" + "a" * 3_000, "string_above_max_length"),
        ("a", "invalid_value"),
        ("/root/..", "invalid_value"),
    ],
)
@pytest.mark.parametrize("member", ["author", "recipient", "agent"])
def test_agents_have_names_that_agents_can_have(
    client: OpenAI, upstream: Upstream, member: str, name: str, code: str
) -> None:
    message: Json = {
        "type": "agent_message",
        "author": "/root/a",
        "recipient": "/root",
        "content": [{"type": "text", "text": "a is red."}],
    }
    message[member] = {"agent_name": name} if member == "agent" else name
    with pytest.raises(BadRequestError) as refused:
        ask(client, [{"role": "user", "content": "Hi"}, message])
    path = "input[1].agent.agent_name" if member == "agent" else f"input[1].{member}"
    assert (refused.value.param, refused.value.code) == (path, code)
    assert upstream.requests == []


@covers("ws.client.response.inject", "ws.server.response.inject.created", "ws.server.response.inject.failed")
def test_outputs_are_injected_into_a_response_that_is_made(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(says("Look at a.", last="red"), Answer("a is red."))
    upstream.on(says("to you, /root/a:", last="Look at a."), Answer(calls=[Called("look", "{}")]))
    upstream.on(says("to you, /root/b:"), Answer("b is blue.", gate=gate))
    upstream.on(says("a is red.", "b is blue."), Answer("Red and blue."))
    upstream.on(says("a is red."), WAIT)
    upstream.on(says("b is blue."), WAIT)
    both = Answer(calls=[spawn("a", "Look at a."), spawn("b", "Look at b."), Called("wait_agent")])
    upstream.on(says(last="Go."), both)
    with client.beta.responses.connect() as connection:
        connection.response.create(
            model="m",
            input="Go.",
            multi_agent={"enabled": True},
            tools=[LOOK],
        )
        told: list[Json] = []
        call: Json = {}
        while not call:
            told.append(whole(connection.recv()))
            item = told[-1].get("item", {})
            if told[-1]["type"] == "response.output_item.done" and item["type"] == "function_call":
                call = item
        response_id = told[0]["response"]["id"]
        output: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
        stray: Any = {**output, "call_id": "call_nobody"}
        connection.response.inject(response_id=response_id, input=[output, stray])
        while told[-1]["type"] != "error":
            told.append(whole(connection.recv()))
        assert told.pop()["error"]["param"] == "input"
        connection.response.inject(response_id=response_id, input=[output])
        while told[-1]["type"] != "response.inject.created":
            told.append(whole(connection.recv()))
        gate.open()
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        response = told[-1]["response"]
        assert texts(response, "/root/a") == ["a is red."]
        assert texts(response, "/root")[-1] == "Red and blue."
        for target, code in ((response_id, "response_already_completed"), ("resp_1", "response_not_found")):
            connection.response.inject(response_id=target, input=[output])
            failed = whole(connection.recv())
            assert (failed["type"], failed["error"]["code"]) == ("response.inject.failed", code)
            assert failed["input"][0]["call_id"] == call["call_id"]


def begin_alone(connection: Any, upstream: Upstream) -> tuple[list[Json], Json]:
    """A response whose one agent calls the client: its events so far, and the call."""
    upstream.on(says(last="red"), Answer("It is red."))
    upstream.on(says(last="Go."), Answer(calls=[Called("look", "{}")]))
    connection.response.create(model="m", input="Go.", multi_agent={"enabled": True}, tools=[LOOK])
    told = [whole(connection.recv())]
    while told[-1]["type"] != "response.output_item.done":
        told.append(whole(connection.recv()))
    return told, told[-1]["item"]


def test_a_response_whose_agents_all_wait_can_be_given_what_they_wait_for(
    client: OpenAI, upstream: Upstream
) -> None:
    with client.beta.responses.connect() as connection:
        told, call = begin_alone(connection, upstream)
        response_id = told[0]["response"]["id"]
        connection.response.steer(previous_response_id=response_id, input="Hurry.")
        told.append(whole(connection.recv()))
        assert (told[-1]["type"], told[-1]["error"]["code"]) == (
            "response.steer.failed",
            "steering_not_supported",
        )
        output: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
        connection.response.inject(response_id=response_id, input=[output])
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    response = told[-1]["response"]
    assert [item["type"] for item in response["output"]] == [
        "function_call",
        "function_call_output",
        "message",
    ]
    assert texts(response, "/root") == ["It is red."]
    assert whole(client.beta.responses.retrieve(response_id, betas=BETA)) == response
    items = client.beta.responses.input_items.list(response_id, betas=BETA)
    assert [item.type for item in items] == ["message"]


def inject(connection: Any, upstream: Upstream, output: Any) -> Json:
    """What a response ends as whose one agent is given this for its call."""
    told, call = begin_alone(connection, upstream)
    item: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    connection.response.inject(response_id=told[0]["response"]["id"], input=[item])
    while told[-1]["type"] not in ("response.completed", "error"):
        told.append(whole(connection.recv()))
    response: Json = told[-1]["response"]
    return response


def test_pictures_are_injected(client: OpenAI, upstream: Upstream) -> None:
    shot = {"type": "input_image", "image_url": picture_url(), "detail": "auto"}
    upstream.on(says("red", last="data:image/png"), Answer("It is red."))
    with client.beta.responses.connect() as connection:
        response = inject(connection, upstream, [{"type": "input_text", "text": "red"}, shot])

    assert texts(response, "/root") == ["It is red."]
    assert picture_url() in str(upstream.last.body["messages"])
    (output,) = (item for item in response["output"] if item["type"] == "function_call_output")
    assert [part["type"] for part in output["output"]] == ["input_text", "input_image"]


def test_files_are_injected(client: OpenAI, upstream: Upstream) -> None:
    file = client.files.create(file=("a.txt", b"It is all red."), purpose="user_data")
    with client.beta.responses.connect() as connection:
        response = inject(connection, upstream, [{"type": "input_file", "file_id": file.id}])

    assert texts(response, "/root") == ["It is red."]
    assert "It is all red." in str(upstream.last.body["messages"])


def test_screenshots_are_injected(client: OpenAI, upstream: Upstream) -> None:
    shown = {"type": "computer_screenshot", "image_url": picture_url()}
    upstream.on(says(last="data:image/png"), Answer("It is red."))
    upstream.on(says(last="Go."), Answer(calls=[Called("computer", '{"actions": [{"type": "screenshot"}]}')]))
    with client.beta.responses.connect() as connection:
        options: Any = {"multi_agent": {"enabled": True}, "tools": [{"type": "computer"}]}
        connection.response.create(model="m", input="Go.", **options)
        told = [whole(connection.recv())]
        while told[-1]["type"] != "response.output_item.done":
            told.append(whole(connection.recv()))
        call_id = told[-1]["item"]["call_id"]
        output: Any = {"type": "computer_call_output", "call_id": call_id, "output": shown}
        connection.response.inject(response_id=told[0]["response"]["id"], input=[output])
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))

    assert texts(told[-1]["response"], "/root") == ["It is red."]


INWARD: Json = {"type": "input_image", "image_url": "http://169.254.169.254/latest", "detail": "auto"}
MISSING: Json = {"type": "input_file", "file_id": "file-nobody"}
SOUND: Json = {"type": "input_image", "image_url": "data:image/png;base64,UklGRg==", "detail": "auto"}


@pytest.mark.parametrize("part", [INWARD, MISSING, SOUND])
def test_what_no_model_can_be_shown_is_not_injected(client: OpenAI, upstream: Upstream, part: Json) -> None:
    with client.beta.responses.connect() as connection:
        told, call = begin_alone(connection, upstream)
        response_id = told[0]["response"]["id"]
        output: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": [part]}
        connection.response.inject(response_id=response_id, input=[output])
        refused = whole(connection.recv())
        assert (refused["type"], refused["status"]) == ("error", 400)
        assert refused["error"]["param"].startswith("input")
        output["output"] = "red"
        connection.response.inject(response_id=response_id, input=[output])
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    assert texts(told[-1]["response"], "/root") == ["It is red."]
    assert "169.254" not in str([received.body for received in upstream.requests])


@pytest.mark.parametrize(
    "members",
    [
        {"type": "function_call", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "name": "look", "input": "red"},
        {"type": "custom_tool_call_output", "output": "red"},
        {"type": "apply_patch_call_output", "status": "completed"},
        {"type": "multi_agent_call", "action": "wait_agent", "arguments": "{}"},
    ],
)
def test_a_call_is_answered_by_nothing_but_its_output(
    client: OpenAI, upstream: Upstream, members: Json
) -> None:
    with client.beta.responses.connect() as connection:
        told, call = begin_alone(connection, upstream)
        response_id = told[0]["response"]["id"]
        item: Any = {"call_id": call["call_id"], **members}
        connection.response.inject(response_id=response_id, input=[item])
        refused = whole(connection.recv())
        assert (refused["type"], refused["error"]["param"]) == ("error", "input")
        output: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
        connection.response.inject(response_id=response_id, input=[output])
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    assert texts(told[-1]["response"], "/root") == ["It is red."]


def test_calls_can_be_answered_before_their_turn_has_ended(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(says("to you, /root/a:", last="nobody works"), Answer("a is blue."))
    upstream.on(says("to you, /root/a:"), Answer(calls=[WAITS], gate=gate))
    upstream.on(says("red", "a is blue."), Answer("Red and blue."))
    upstream.on(says("red"), Answer("Red."))
    upstream.on(says(last="has begun"), Answer(calls=[Called("look"), WAITS]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Look.")]))
    with client.beta.responses.connect() as connection:
        connection.response.create(model="m", input="Go.", multi_agent={"enabled": True}, tools=[LOOK])
        told = [whole(connection.recv())]
        response_id = told[0]["response"]["id"]
        while told[-1].get("item", {}).get("type") != "function_call" or "done" not in told[-1]["type"]:
            told.append(whole(connection.recv()))
        call_id = told[-1]["item"]["call_id"]
        output: Any = {"type": "function_call_output", "call_id": call_id, "output": "red"}
        for answer in ("response.inject.created", "error"):  # once, and no second time
            connection.response.inject(response_id=response_id, input=[output])
            while told[-1]["type"] not in ("response.inject.created", "error"):
                told.append(whole(connection.recv()))
            assert told.pop()["type"] == answer
        gate.open()
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    assert texts(told[-1]["response"], "/root")[-1] == "Red and blue."
    read = upstream.requests[-1].body["messages"]
    assert [each["content"] for each in read if each.get("tool_call_id") == call_id] == ["red"]


def test_it_waits_for_its_client_only_so_long(
    client: OpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.engine.agents.INJECTION_SECONDS", 0.01)
    with client.beta.responses.connect() as connection:
        told, call = begin_alone(connection, upstream)
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
        output: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "red"}
        first = told[-1]["response"]["id"]
        again: Any = {"previous_response_id": first, "multi_agent": {"enabled": True}, "tools": [LOOK]}
        connection.response.create(model="m", input=[output], **again)
        while told[-1]["type"] != "response.completed" or told[-1]["response"]["id"] == first:
            told.append(whole(connection.recv()))
    assert texts(told[-1]["response"], "/root") == ["It is red."]


def test_agents_that_wait_for_each_other_alone_go_on_before_the_client_has_answered(
    client: OpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may want to see all of a turn before it answers a call of it."""
    monkeypatch.setattr("antiphon.engine.agents.INJECTION_SECONDS", 30)
    upstream.on(says("to you, /root/a:", last="nobody works"), Answer("a is blue."))
    upstream.on(says("to you, /root/a:"), Answer(calls=[WAITS]))
    upstream.on(says("red"), Answer("Red."))
    upstream.on(says(last="has begun"), Answer(calls=[Called("look"), WAITS]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Look.")]))
    with client.beta.responses.connect() as connection:
        connection.response.create(model="m", input="Go.", multi_agent={"enabled": True}, tools=[LOOK])
        told = [whole(connection.recv())]
        begun = time.monotonic()
        done: list[Json] = []
        while not any(item.get("action") == "wait_agent" and item.get("output") for item in done):
            told.append(whole(connection.recv()))
            if told[-1]["type"] == "response.output_item.done":
                done += of({"output": [told[-1]["item"]]}, "/root")
        (call_id,) = [item["call_id"] for item in done if item["type"] == "function_call"]
        output: Any = {"type": "function_call_output", "call_id": call_id, "output": "red"}
        connection.response.inject(response_id=told[0]["response"]["id"], input=[output])
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    assert texts(told[-1]["response"], "/root")[-1] == "Red."
    assert time.monotonic() - begun < 25


def test_a_client_that_goes_away_stops_all_agents(client: OpenAI, upstream: Upstream) -> None:
    gates = [Gate(after=1), Gate(after=1)]
    for name, gate in zip("ab", gates, strict=True):
        upstream.on(says(f"to you, /root/{name}:"), Answer("Never said.", size=2, gate=gate))
    upstream.on(says("has begun"), WAIT)
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "One."), spawn("b", "Two.")]))
    with client.beta.responses.create(
        model="m", input="Go.", multi_agent={"enabled": True}, betas=BETA, stream=True
    ):
        for gate in gates:
            gate.wait_reached()
    for received in upstream.requests:
        if "to you, /root/" in str(received.body["messages"][-1]):
            received.wait_gone()


def test_what_a_subagent_knows_is_compacted_where_it_has_grown_too_long(
    client: OpenAI, upstream: Upstream
) -> None:
    """Each has a context of its own, so a compaction is of one agent, and read by it alone."""
    long = "word " * 2000
    follow = Called("followup_task", '{"target": "/root/a", "message": "And b?"}')
    upstream.on(says("to you, /root/a:", last="Write a summary"), Answer("The book is red."))
    upstream.on(says(last="Write a summary"), Answer("a has read a book."))
    upstream.on(says("The book is red.", last="And b?"), Answer("b is blue."))
    upstream.on(says("to you, /root/a:", last="Read it."), Answer(f"It is red. {long}"))
    upstream.on(says("b is blue."), Answer("Blue."))
    upstream.on(says("It is red."), Answer("Red."))
    upstream.on(says(last="a has read a book."), Answer(calls=[follow, WAITS]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Read it."), WAITS]))
    first = ask(client, "Go.")
    compacting: Any = [{"type": "compaction", "compact_threshold": 1000}]

    second = ask(client, "Ask.", previous_response_id=first["id"], context_management=compacting)

    for agent in ("/root", "/root/a"):
        kinds = [item["type"] for item in of(second, agent)]
        assert (kinds[0], kinds.count("compaction")) == ("compaction", 1)
    assert texts(second, "/root/a") == ["b is blue."]
    read = next(str(each.body["messages"]) for each in upstream.requests if "And b?" in str(each.body))
    assert "The book is red." in read
    assert "a has read a book." not in read
    assert long not in read


def test_what_others_still_read_is_read_though_one_agent_was_compacted(
    client: OpenAI, upstream: Upstream
) -> None:
    """A picture that the root was shown before a subagent's compaction is looked at as ever."""
    long = "word " * 4000
    uploaded = client.files.create(file=("red.png", png()), purpose="vision")
    picture = {"type": "input_image", "file_id": uploaded.id, "detail": "auto"}
    shown: Any = [
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [picture]},
        {"role": "user", "content": "Ask."},
    ]
    follow = Called("followup_task", '{"target": "/root/a", "message": "And b?"}')
    upstream.on(says("to you, /root/a:", last="Write a summary"), Answer("The book is red."))
    upstream.on(says("The book is red.", last="And b?"), Answer("b is blue."))
    upstream.on(says("to you, /root/a:", last=long), Answer("It is red."))
    upstream.on(says("to you, /root/a:", last="Read it."), Answer(calls=[Called("look")]))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Read it."), WAITS]))
    upstream.on(says(last="Ask."), Answer(calls=[follow, WAITS]))
    upstream.default = Answer("Well.")
    first = ask(client, "Go.", tools=[LOOK])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": long}
    second = ask(client, [output], tools=[LOOK], previous_response_id=first["id"])
    compacting: Any = [{"type": "compaction", "compact_threshold": 3000}]
    third = ask(client, shown, tools=[LOOK], previous_response_id=second["id"], context_management=compacting)
    assert [item["type"] for item in third["output"]].count("compaction") == 1

    ask(client, "More.", tools=[LOOK], previous_response_id=third["id"])

    read = str(next(each.body for each in upstream.requests if says(last="More.")(each.body)))
    assert "data:image/png;base64," in read
    assert uploaded.id not in read


def test_an_agent_that_has_read_nothing_has_nothing_compacted(client: OpenAI, upstream: Upstream) -> None:
    """Instructions and tools alone may come to more than the threshold."""
    upstream.on(says(last="Write a summary"), Answer("Nothing has happened."))
    upstream.on(says("to you, /root/a:", last="Look."), Answer("a is red."))
    upstream.on(says("a is red."), Answer("Red."))
    upstream.on(says(last="Nothing has happened."), Answer(calls=[spawn("a", "Look."), WAITS]))
    compacting: Any = [{"type": "compaction", "compact_threshold": 1000}]
    response = ask(client, "Go.", instructions="word " * 2000, context_management=compacting)
    assert texts(response, "/root")[-1] == "Red."
    assert [item["type"] for item in of(response, "/root/a")] == ["message", "agent_message"]


def test_an_agent_whose_compaction_was_the_last_goes_on_with_what_it_was_given(
    client: OpenAI, upstream: Upstream
) -> None:
    long = "word " * 4000
    gate, summing = Gate(after=0), Gate(after=0)
    upstream.on(says("to you, /root/a:", last="Write a summary"), Answer("The book is red.", gate=summing))
    upstream.on(says("to you, /root/a:", last=long), Answer("It is red."))
    upstream.on(says("to you, /root/a:", last="Read it."), Answer(calls=[Called("look")]))
    upstream.on(says("It is red."), Answer("Red."))
    upstream.on(says(last="More."), WAIT)
    upstream.on(says(last="Ask."), Answer("We", finish="length", gate=gate))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Read it."), WAITS]))
    upstream.default = Answer("Well.")
    first = ask(client, "Go.", tools=[LOOK])
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": long}
    given: Any = [output, {"role": "user", "content": "Ask."}]
    with client.beta.responses.create(
        model="m",
        input=given,
        tools=[LOOK],
        previous_response_id=first["id"],
        context_management=[{"type": "compaction", "compact_threshold": 3000}],
        multi_agent={"enabled": True},
        betas=BETA,
        stream=True,
    ) as stream:
        events = iter(stream)
        next(events)
        gate.wait_reached()
        summing.wait_reached()
        gate.open()
        second: Json = whole(list(events)[-1])["response"]
    assert (second["status"], of(second, "/root/a")[-1]["type"]) == ("incomplete", "compaction")

    third = ask(client, "More.", tools=[LOOK], previous_response_id=second["id"])

    assert texts(third, "/root/a") == ["It is red."]
    assert texts(third, "/root")[-1] == "Red."
