"""Calls and answers that a client sends although the context holds them: behind `previous_response_id`, or a
conversation. Whatever frameworks send again, the model reads each call once, with one result."""

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import ADD, Json, refused, whole, wholes
from tests.scripted import Answer, Called, Upstream
from tests.tools.mcp_servers import PIXEL
from tests.tools.using import calls, read

PNG = f"data:image/png;base64,{PIXEL}"


def function_output(call: Json, text: str = "done") -> Json:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": text}


def custom_output(call: Json) -> Json:
    return {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "done"}


def shell_output(call: Json) -> Json:
    printed = {"stdout": "done", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    return {"type": "shell_call_output", "call_id": call["call_id"], "output": [printed]}


def local_shell_output(call: Json) -> Json:
    return {"type": "local_shell_call_output", "id": call["call_id"], "output": "done"}


def patch_output(call: Json) -> Json:
    return {"type": "apply_patch_call_output", "call_id": call["call_id"], "status": "completed"}


def screenshot(call: Json) -> Json:
    shot = {"type": "computer_screenshot", "image_url": PNG}
    return {"type": "computer_call_output", "call_id": call["call_id"], "output": shot}


Kind = tuple[Json, Answer, Callable[[Json], Json]]

KINDS: dict[str, Kind] = {
    "function": (ADD, calls("add", '{"a":1,"b":2}'), function_output),
    "custom": ({"type": "custom", "name": "say"}, calls("say", '{"input":"hello"}'), custom_output),
    "shell": (
        {"type": "shell", "environment": {"type": "local"}},
        calls("shell", '{"commands":["ls"]}'),
        shell_output,
    ),
    "local shell": ({"type": "local_shell"}, calls("local_shell", '{"command":["ls"]}'), local_shell_output),
    "patch": (
        {"type": "apply_patch"},
        calls("apply_patch", '{"type":"create_file","path":"a","diff":"+b"}'),
        patch_output,
    ),
    "computer": ({"type": "computer"}, calls("computer", '{"actions":[{"type":"wait"}]}'), screenshot),
}
USER: Json = {"role": "user", "content": "Go on then."}


class Chat:
    """Turns that are chained, by the response before or by a conversation."""

    def __init__(self, client: OpenAI, upstream: Upstream, kind: Kind, past: str) -> None:
        self.tool, self.calling, self.output = kind
        self._client = client
        self._upstream = upstream
        self._conversation = client.conversations.create().id if past == "conversation" else None
        self._previous: str | None = None

    def ask(self, *given: Json, answer: Answer | None = None) -> Any:
        """A turn, to which the model says `answer`; else it makes its call."""
        self._upstream.script(answer or self.calling)
        past: Any = (
            {"conversation": self._conversation}
            if self._conversation
            else {"previous_response_id": self._previous}
        )
        response = self._client.responses.create(
            model="m",
            input=list(given),  # type: ignore[arg-type]
            tools=[self.tool],  # type: ignore[list-item]
            **past,
        )
        self._previous = response.id
        return response

    def call(self) -> Json:
        """The call that the model makes when it is asked."""
        call: Json = whole(self.ask(USER).output[-1])
        return call

    @property
    def stored(self) -> list[str]:
        """The types of all items of the past, oldest first."""
        assert self._previous is not None
        if self._conversation:
            items: Any = self._client.conversations.items.list(self._conversation, order="asc")
        else:
            items = self._client.responses.input_items.list(self._previous, order="asc")
        return [item["type"] for item in wholes(items)]


@pytest.fixture(params=["response", "conversation"])
def past(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def chat(request: pytest.FixtureRequest, client: OpenAI, upstream: Upstream, past: str) -> Chat:
    return Chat(client, upstream, KINDS[request.param], past)


@pytest.fixture
def adding(client: OpenAI, upstream: Upstream, past: str) -> Chat:
    return Chat(client, upstream, KINDS["function"], past)


def bare(item: Json) -> Json:
    """An item as frameworks that keep no ids send it."""
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def roles(upstream: Upstream) -> list[str]:
    return [message["role"] for message in read(upstream)]


def check_pairs(upstream: Upstream) -> None:
    """Each call that the model reads has one result, right behind it."""
    waiting: list[str] = []
    for message in read(upstream):
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting, "a call without its result"
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
    assert not waiting


IDLESS = {"with ids": dict, "without ids": bare}


@pytest.mark.parametrize("form", IDLESS)
def test_a_call_that_is_sent_again_with_its_output_is_the_one_that_waits(
    chat: Chat, upstream: Upstream, form: str
) -> None:
    call = chat.call()

    chat.ask(IDLESS[form](call) | {"status": call["status"]}, chat.output(call), answer=Answer("Done."))

    assert roles(upstream)[:3] == ["user", "assistant", "tool"]
    check_pairs(upstream)
    assert len([kind for kind in chat.stored if kind.endswith("_call")]) == 1


def test_a_question_that_is_sent_again_with_its_call_is_read_once(chat: Chat, upstream: Upstream) -> None:
    call = chat.call()

    chat.ask(USER, bare(call) | {"status": call["status"]}, chat.output(call), answer=Answer("Done."))

    assert [role for role in roles(upstream) if role != "user"] == ["assistant", "tool"]
    assert read(upstream)[0]["content"] == USER["content"]
    check_pairs(upstream)


def test_a_result_behind_a_question_that_is_sent_again_stays_the_last_thing_read(
    adding: Chat, upstream: Upstream
) -> None:
    call = adding.call()

    adding.ask(USER, function_output(call, "3"), answer=Answer("Done."))

    assert roles(upstream) == ["user", "assistant", "tool"]
    assert read(upstream)[-1]["content"] == "3"


def test_all_that_was_said_may_be_sent_again_with_the_new_output(adding: Chat, upstream: Upstream) -> None:
    """Frameworks that always send the whole conversation, and the id of the last response beside it."""
    first = adding.call()
    told = [USER, bare(first), function_output(first, "3")]
    second = whole(adding.ask(*told, answer=calls("add", '{"a":3,"b":4}')).output[-1])
    told += [bare(second), function_output(second, "7")]

    adding.ask(*told, answer=Answer("7"))

    assert roles(upstream) == ["user", "assistant", "tool", "assistant", "tool"]
    assert [message["content"] for message in read(upstream)[2::2]] == ["3", "7"]
    check_pairs(upstream)


def test_an_output_of_an_earlier_round_is_dropped(chat: Chat, upstream: Upstream) -> None:
    call = chat.call()
    chat.ask(chat.output(call), answer=Answer("Done."))
    before = len(read(upstream))

    chat.ask(chat.output(call), USER, answer=Answer("Done."))

    assert roles(upstream)[before:] == ["assistant", "user"]
    check_pairs(upstream)


def test_a_round_that_is_over_may_be_sent_again(chat: Chat, upstream: Upstream) -> None:
    call = chat.call()
    chat.ask(chat.output(call), answer=Answer("Done."))
    before = len(read(upstream))

    chat.ask(bare(call) | {"status": call["status"]}, chat.output(call), USER, answer=Answer("Done."))

    assert roles(upstream)[before:] == ["assistant", "user"]
    check_pairs(upstream)


def test_an_output_that_is_sent_twice_counts_once(chat: Chat, upstream: Upstream) -> None:
    call = chat.call()

    chat.ask(chat.output(call), chat.output(call), answer=Answer("Done."))

    check_pairs(upstream)
    assert roles(upstream)[:3] == ["user", "assistant", "tool"]


def test_the_whole_output_may_be_sent_again(adding: Chat, upstream: Upstream) -> None:
    """As loops over `response.output` do it: reasoning and words before the call come along."""
    said = Answer("Let me see.", reasoning="Hm.", calls=[Called("add", '{"a":1,"b":2}')])
    output = wholes(adding.ask(USER, answer=said).output)
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]

    adding.ask(*output, function_output(output[-1], "3"), answer=Answer("3"))

    assert roles(upstream) == ["user", "assistant", "tool"]
    assert read(upstream)[1]["content"] == "Let me see."


def test_a_reference_to_the_call_that_waits_is_that_call(chat: Chat, upstream: Upstream) -> None:
    call = chat.call()

    chat.ask({"type": "item_reference", "id": call["id"]}, chat.output(call), answer=Answer("Done."))

    assert roles(upstream)[:3] == ["user", "assistant", "tool"]
    check_pairs(upstream)


def test_arguments_that_were_written_anew_make_no_other_call(adding: Chat, upstream: Upstream) -> None:
    call = adding.call()
    again = bare(call) | {"arguments": '{ "a": 1, "b": 2 }'}

    adding.ask(again, function_output(call, "3"), answer=Answer("3"))
    adding.ask(again, function_output(call, "3"), USER, answer=Answer("3"))

    check_pairs(upstream)
    assert roles(upstream) == ["user", "assistant", "tool", "assistant", "user"]


def test_another_call_under_an_id_that_was_there_before_is_another_call(
    adding: Chat, upstream: Upstream
) -> None:
    """Clients that make up calls themselves may count them from 0 in each turn."""
    call = adding.call()
    adding.ask(function_output(call, "3"), answer=Answer("3"))
    another = bare(call) | {"arguments": '{"a":5,"b":6}'}

    adding.ask(another, function_output(call, "11"), answer=Answer("11"))

    assert [message["content"] for message in read(upstream) if message["role"] == "tool"] == ["3", "11"]
    check_pairs(upstream)


def test_of_several_calls_that_wait_all_may_be_sent_again(adding: Chat, upstream: Upstream) -> None:
    both = Answer(calls=[Called("add", '{"a":1,"b":2}'), Called("add", '{"a":3,"b":4}')])
    one, two = map(bare, wholes(adding.ask(USER, answer=both).output))

    adding.ask(one, function_output(one, "3"), two, function_output(two, "7"), answer=Answer("10"))

    assert roles(upstream) == ["user", "assistant", "tool", "tool"]
    check_pairs(upstream)


def test_a_call_whose_output_does_not_come_is_still_refused(adding: Chat) -> None:
    call = adding.call()

    with refused(400, None, "input") as refusal:
        adding.ask(bare(call))

    assert "No tool output found for function call" in refusal.message


def test_a_new_question_beside_an_output_is_kept(adding: Chat, upstream: Upstream) -> None:
    call = adding.call()
    other = {"role": "user", "content": "And tell me the time."}

    adding.ask(other, function_output(call, "3"), answer=Answer("3"))

    assert roles(upstream) == ["user", "assistant", "tool", "user"]
    assert read(upstream)[-1]["content"] == other["content"]


def test_a_question_may_be_asked_twice(adding: Chat, upstream: Upstream) -> None:
    adding.ask(USER, answer=Answer("Done."))
    adding.ask(USER, answer=Answer("Done again."))

    assert roles(upstream) == ["user", "assistant", "user"]


def test_words_of_the_developer_that_are_sent_again_are_read_once(adding: Chat, upstream: Upstream) -> None:
    rules = {"role": "developer", "content": "Be kind."}
    call = whole(adding.ask(rules, USER).output[-1])

    adding.ask(rules, USER, bare(call), function_output(call, "3"), answer=Answer("3"))

    assert roles(upstream) == ["system", "user", "assistant", "tool"]


def test_a_round_that_is_sent_again_with_nothing_new_asks_again(adding: Chat, upstream: Upstream) -> None:
    call = adding.call()
    adding.ask(function_output(call, "3"), answer=Answer("3"))

    adding.ask(USER, bare(call), function_output(call, "3"), answer=Answer("Still 3."))

    assert roles(upstream) == ["user", "assistant", "tool", "assistant", "user"]


def test_what_was_said_in_rounds_that_are_over_may_be_sent_again(adding: Chat, upstream: Upstream) -> None:
    call = adding.call()
    adding.ask(function_output(call, "3"), answer=Answer("3"))
    other = {"role": "user", "content": "Thanks."}
    said = {"role": "assistant", "content": "3"}

    adding.ask(USER, bare(call), function_output(call, "3"), said, other, answer=Answer("Welcome."))

    assert roles(upstream) == ["user", "assistant", "tool", "assistant", "user"]
    assert read(upstream)[3]["content"] == "3"


def test_calls_that_share_an_id_keep_a_result_each(client: OpenAI, upstream: Upstream) -> None:
    """Some servers count calls from 0 in every answer, and some clients pass them on."""
    upstream.script(Answer("10"))
    call: Json = {"type": "function_call", "call_id": "call_0", "name": "add", "arguments": '{"a":1,"b":2}'}
    other = call | {"arguments": '{"a":3,"b":4}'}
    given: Any = [USER, call, function_output(call, "3"), other, function_output(call, "7")]

    client.responses.create(model="m", input=given)

    assert [message["content"] for message in read(upstream)[2::2]] == ["3", "7"]
    check_pairs(upstream)


# ---- loops as programs write them ---------------------------------------------------------------------


def dumped(output: Any) -> list[Any]:
    """As `model_dump()` has it: ids, nulls and the names of Python."""
    return [item.model_dump() for item in output]


def as_they_are(output: Any) -> list[Any]:
    return list(output)


@pytest.mark.parametrize("keep", [as_they_are, dumped, lambda output: [bare(i) for i in wholes(output)]])
@pytest.mark.parametrize("grows", [False, True], ids=["each output", "all that was said"])
@pytest.mark.parametrize("streams", [False, True], ids=["", "streamed"])
def test_a_loop_that_sends_outputs_back_behind_the_chain_ends(
    client: OpenAI, upstream: Upstream, keep: Callable[[Any], list[Any]], grows: bool, streams: bool
) -> None:
    """The model calls as long as it reads no result last, as models do that lost the thread."""
    thinks = Answer("Let me see.", reasoning="Hm.", calls=[Called("add", '{"a":1,"b":2}')])
    upstream.on(
        lambda body: body["messages"][-1]["role"] == "tool" and len(upstream.requests) > 3, Answer("3")
    )
    upstream.default = thinks
    given: list[Any] = [USER]
    previous: str | None = None

    for _ in range(6):
        asked: Any = {"model": "m", "input": given, "tools": [ADD], "previous_response_id": previous}
        if streams:
            with client.responses.stream(**asked) as events:
                response: Any = events.get_final_response()
        else:
            response = client.responses.create(**asked)
        outputs = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "3"}
            for item in response.output
            if item.type == "function_call"
        ]
        if not outputs:
            break
        check_pairs(upstream)
        given = [*(given if grows else ()), *keep(response.output), *outputs]
        previous = response.id

    assert response.output_text == "3"
    assert len(upstream.requests) == 4
    assert roles(upstream) == ["user", *["assistant", "tool"] * 3]
