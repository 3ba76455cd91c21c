"""How neutral messages become those of each dialect."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chat_rules import complaint

from antiphon.backends.dialects import DIALECTS, GEMINI, GENERIC, LLAMA_CPP, OLLAMA, OPENAI, VLLM, Dialect
from antiphon.backends.messages import render, render_turn
from antiphon.model import AudioPart, Call, FilePart, ImagePart, Message, Part, Said, TextPart, Turn
from antiphon.protocol.errors import InvalidRequest

PNG = "data:image/png;base64,AA=="


def say(role: Any, text: str = "", *calls: Call, reasoning: str = "", call_id: str = "") -> Message:
    return Message(role, (TextPart(text),) if text else (), calls, reasoning, call_id)


def wire(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = say("user", "Hi")
TOLD_USER = wire("user", "Hi")

CASES: list[tuple[str, Dialect, list[Message], list[dict[str, Any]]]] = [
    (
        "a developer is a developer",
        OPENAI,
        [say("developer", "A"), USER],
        [wire("developer", "A"), TOLD_USER],
    ),
    ("a developer is a system", GENERIC, [say("developer", "A"), USER], [wire("system", "A"), TOLD_USER]),
    (
        "leading systems are one",
        GENERIC,
        [say("system", "A"), say("developer", "B"), USER],
        [wire("system", "A\n\nB"), TOLD_USER],
    ),
    (
        "leading systems stay apart where that is fine",
        OPENAI,
        [say("system", "A"), say("developer", "B"), USER],
        [wire("system", "A"), wire("developer", "B"), TOLD_USER],
    ),
    (
        "a late system stays where it is known to be read",
        OPENAI,
        [USER, say("developer", "B")],
        [TOLD_USER, wire("developer", "B")],
    ),
    (
        "a late system is the user's where nothing is known",
        GENERIC,
        [USER, say("developer", "B")],
        [TOLD_USER, wire("user", "B")],
    ),
    ("a late system is the user's", VLLM, [USER, say("system", "B")], [wire("user", "Hi\n\nB")]),
    (
        "instructions alone are the user's",
        VLLM,
        [say("system", "A"), say("developer", "B")],
        [wire("system", "A"), wire("user", "B")],
    ),
    ("one instruction alone is the user's", GEMINI, [say("system", "A")], [wire("user", "A")]),
    ("users in a row stay apart", GENERIC, [USER, USER], [TOLD_USER, TOLD_USER]),
    ("users in a row are one", LLAMA_CPP, [USER, USER], [wire("user", "Hi\n\nHi")]),
    ("an empty user", GENERIC, [say("user")], [wire("user", "")]),
    (
        "an assistant with calls only",
        GENERIC,
        [USER, say("assistant", "", Call("c", "f", "{}")), say("tool", "1", call_id="c")],
        [
            TOLD_USER,
            wire("assistant", None, tool_calls=[call("c")]),
            wire("tool", "1", tool_call_id="c"),
        ],
    ),
    (
        "text and calls in a row are one answer",
        OPENAI,
        [
            say("assistant", "Wait."),
            say("assistant", "", Call("c", "f", "{}")),
            say("assistant", "", Call("d", "f", "{}")),
            say("tool", "1", call_id="c"),
            say("tool", "2", call_id="d"),
        ],
        [
            wire("assistant", "Wait.", tool_calls=[call("c"), call("d")]),
            wire("tool", "1", tool_call_id="c"),
            wire("tool", "2", tool_call_id="d"),
        ],
    ),
    (
        "results in another order, with words between",
        OPENAI,
        [
            say("assistant", "", Call("c", "f", "{}"), Call("d", "f", "{}")),
            say("tool", "2", call_id="d"),
            USER,
            say("tool", "1", call_id="c"),
        ],
        [
            wire("assistant", None, tool_calls=[call("c"), call("d")]),
            wire("tool", "1", tool_call_id="c"),
            wire("tool", "2", tool_call_id="d"),
            TOLD_USER,
        ],
    ),
    (
        "ids that come again",
        OPENAI,
        [
            say("assistant", "", Call("c", "f", "{}")),
            say("tool", "1", call_id="c"),
            say("assistant", "", Call("c", "f", "{}")),
            say("tool", "2", call_id="c"),
        ],
        [
            wire("assistant", None, tool_calls=[call("c")]),
            wire("tool", "1", tool_call_id="c"),
            wire("assistant", None, tool_calls=[call("c")]),
            wire("tool", "2", tool_call_id="c"),
        ],
    ),
    (
        "a result without its call is the user's",
        GENERIC,
        [USER, say("tool", "42", call_id="c")],
        [TOLD_USER, wire("user", "Result of the function call c:\n42")],
    ),
    (
        "the function's name in a result",
        GEMINI,
        [USER, say("assistant", "", Call("c", "f", "{}")), say("tool", "1", call_id="c")],
        [
            TOLD_USER,
            wire("assistant", None, tool_calls=[call("c") | (GEMINI.unsigned or {})]),
            wire("tool", "1", tool_call_id="c", name="f"),
        ],
    ),
    (
        "reasoning is kept",
        VLLM,
        [USER, say("assistant", "Yes.", reasoning="Hm"), USER],
        [TOLD_USER, wire("assistant", "Yes.", reasoning="Hm"), TOLD_USER],
    ),
    (
        "reasoning is left out where it is not read",
        OPENAI,
        [say("assistant", "Yes.", reasoning="Hm")],
        [wire("assistant", "Yes.")],
    ),
    (
        "reasoning that no tool loop needs is left out where nothing is known",
        GENERIC,
        [
            USER,
            say("assistant", "", Call("c", "f", "{}"), reasoning="Old"),
            say("tool", "1", call_id="c"),
            say("assistant", "Yes.", reasoning="Older"),
            USER,
            say("assistant", "", Call("d", "f", "{}"), reasoning="New"),
            say("tool", "2", call_id="d"),
            say("developer", "Go on."),
        ],
        [
            TOLD_USER,
            wire("assistant", None, tool_calls=[call("c")]),
            wire("tool", "1", tool_call_id="c"),
            wire("assistant", "Yes."),
            TOLD_USER,
            wire("assistant", None, reasoning_content="New", tool_calls=[call("d")]),
            wire("tool", "2", tool_call_id="d"),
            wire("user", "Go on."),
        ],
    ),
    (
        "an assistant's last words are no prefill",
        LLAMA_CPP,
        [USER, say("assistant", "Yes.")],
        [TOLD_USER, wire("assistant", "Yes."), wire("user", "Continue.")],
    ),
    (
        "arguments that are no object",
        LLAMA_CPP,
        [
            USER,
            say("assistant", "", Call("c", "f", "oops"), Call("d", "f", "")),
            say("tool", "1", call_id="c"),
            say("tool", "2", call_id="d"),
        ],
        [
            TOLD_USER,
            wire("assistant", None, tool_calls=[call("c"), call("d")]),
            wire("tool", "The arguments of this call were no JSON object: oops\n\n1", tool_call_id="c"),
            wire("tool", "2", tool_call_id="d"),
        ],
    ),
    (
        "texts are one string",
        GENERIC,
        [Message("user", (TextPart("a"), TextPart("b")))],
        [wire("user", "ab")],
    ),
    (
        "parts of all kinds",
        OPENAI,
        [
            Message(
                "user",
                (
                    TextPart("See"),
                    ImagePart(PNG, "low"),
                    AudioPart("AA==", "wav"),
                    FilePart("data:x", "a.pdf"),
                ),
            )
        ],
        [
            wire(
                "user",
                [
                    {"type": "text", "text": "See"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                ],
            )
        ],
    ),
    (
        "images of results follow as the user's",
        OPENAI,
        [
            say("assistant", "", Call("c", "f", "{}"), Call("d", "f", "{}")),
            Message("tool", (ImagePart(PNG),), call_id="c"),
            say("tool", "2", call_id="d"),
        ],
        [
            wire("assistant", None, tool_calls=[call("c"), call("d")]),
            wire("tool", "The result follows in the next message.", tool_call_id="c"),
            wire("tool", "2", tool_call_id="d"),
            wire(
                "user",
                [
                    {"type": "text", "text": "From the result of the function call c:"},
                    {"type": "image_url", "image_url": {"url": PNG}},
                ],
            ),
        ],
    ),
]


@pytest.mark.parametrize(
    ("dialect", "messages", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_messages_are_emitted(dialect: Dialect, messages: list[Message], told: list[dict[str, Any]]) -> None:
    assert render(messages, dialect) == told


def test_an_image_by_url_is_refused_where_nobody_fetches_it() -> None:
    with pytest.raises(InvalidRequest):
        render([Message("user", (ImagePart("https://x/y.png"),))], OLLAMA)


# ---- whatever is said, servers take it --------------------------------------------------------------

IDS = st.sampled_from("abc")
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, st.text("xy", min_size=1)), st.just(ImagePart(PNG))
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Anything but a call without its result: that the engine refuses."""
    said: list[Message] = []
    for role in draw(st.lists(st.sampled_from(["system", "developer", "user", "assistant", "tool", "turn"]))):
        parts = tuple(draw(st.lists(PARTS, max_size=2)))
        texts = tuple(part for part in parts if isinstance(part, TextPart))
        if role == "turn":
            ids = draw(st.lists(IDS, unique=True, min_size=1))
            said.append(Message("assistant", texts, tuple(Call(id, "f", draw(st.text("{}"))) for id in ids)))
            said += [Message("tool", parts, call_id=id) for id in draw(st.permutations(ids))]
        elif role == "tool":
            said.append(Message("tool", parts, call_id=f"orphan {draw(IDS)}"))
        else:
            said.append(Message(role, parts if role == "user" else texts))  # type: ignore[arg-type]
    return [*said, USER]


@settings(deadline=None)
@given(conversations(), st.sampled_from(sorted(DIALECTS)))
def test_every_conversation_is_one_that_the_server_takes(said: list[Message], name: str) -> None:
    dialect = DIALECTS[name]
    body = {"model": "m", "messages": render(said, dialect)}
    strict = dialect.alternate
    for message in body["messages"]:
        message.pop("name", None)
    assert complaint(body, strict_template=strict) is None
    roles = [message["role"] for message in body["messages"]]
    assert dialect.late_system == "system" or "system" not in roles[1:]


HEADS = st.lists(
    st.builds(say, st.sampled_from(["system", "developer"]), st.text("xy", min_size=1)), max_size=2
)
EXCHANGES = st.lists(st.tuples(st.text('x"\\é'), st.text("y\n\u2028")), max_size=3)


ROLES = ("user", "assistant")


def written(messages: Iterable[object]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(messages))


@settings(deadline=None)
@given(HEADS, EXCHANGES, conversations(), st.sampled_from(sorted(DIALECTS)), st.booleans())
def test_what_was_said_by_turns_is_written_once_and_reads_the_same(
    head: list[Message], exchanges: list[tuple[str, str]], tail: list[Message], name: str, cut: bool
) -> None:
    dialect = DIALECTS[name]
    spoken = [say(role, text) for pair in exchanges for role, text in zip(ROLES, pair, strict=True)]
    said = Said(tuple(spoken[:2]))
    for end in range(2, len(spoken) + 1, 2):  # it grows with each turn
        said = Said(tuple(spoken[:end]), said.written)
        stays = spoken[1:end] if cut else spoken[:end]
        turn = Turn("m", (*head, *stays, *tail), said=said)
        rendered = render_turn(turn, dialect)
        assert written(rendered) == written(render(turn.messages, dialect))
        if not cut and tail[0].role == "user":
            assert msgspec.Raw in map(type, rendered)
