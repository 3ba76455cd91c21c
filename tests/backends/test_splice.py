"""Runs of text, cut out of a stream by comparison: the same deltas as the decoder's, batch by batch."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.backends.reading import batches, read

from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.backends.splice import Splicer
from antiphon.model import (
    CallArguments,
    CallRun,
    CallStarted,
    Delta,
    Finished,
    TextDelta,
    TextRun,
    UsageDelta,
    single,
)
from antiphon.protocol.errors import ApiError

BASE = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DONE = b"data: [DONE]\n\n"


def chunk(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    """A chunk, as most servers write it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({**BASE, "choices": [choice], **more})


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def text(inside: bytes, frame: bytes = chunk({"content": "@"})) -> bytes:
    """A chunk whose text stands in its JSON string like that, be it right or wrong."""
    return frame.replace(b"@", inside)


def call(inside: bytes, index: int | None = 0, **more: Any) -> bytes:
    """A chunk with a piece of the arguments of a call, whose JSON string is that."""
    piece = {"index": index, "function": {"arguments": "@"}, **more}
    return chunk({"tool_calls": [piece]}).replace(b"@", inside)


def begun(index: int | None = 0, name: str = "f") -> bytes:
    """A chunk in which a call begins."""
    function = {"name": name, "arguments": ""}
    piece = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
    return chunk({"role": "assistant", "content": None, "tool_calls": [piece]})


def runs(stream: bytes, **options: Any) -> list[Delta]:
    """What is read in one piece."""
    found, fault = batches(stream, (), ChatStreamParser(**options, splicer=Splicer(least=1)))
    assert fault is None
    return found[0]


STOP = chunk({}, "stop") + DONE
WORDS = b"".join(text(word) for word in (b"The", b" sea", b" is", b" salt"))
RUN = TextRun("The sea is salt", pieces=[b"The", b" sea", b" is", b" salt"])

# ---- what is spliced --------------------------------------------------------------------------------


def test_chunks_that_differ_in_their_text_alone_are_one_run() -> None:
    assert runs(chunk({"role": "assistant", "content": ""}) + WORDS + STOP) == [RUN, Finished("stop")]


def test_the_first_text_is_looked_at_for_reasoning_and_the_rest_is_a_run() -> None:
    assert runs(WORDS + STOP, think_tags=True) == [
        TextDelta("The"),
        TextRun(" sea is salt", pieces=RUN.pieces[1:]),
        Finished("stop"),
    ]


def test_a_read_that_begins_in_the_middle_of_a_chunk_is_a_run_too() -> None:
    cut = len(WORDS) // 2
    parser = ChatStreamParser(splicer=Splicer(least=1))
    first, second, end = batches(WORDS + STOP, (cut, len(WORDS)), parser)[0]
    assert [type(delta) for delta in (*first, *second)] == [TextRun, TextRun]
    assert list(single([*first, *second])) == RUN.deltas()
    assert end == [Finished("stop")]


@pytest.mark.parametrize(
    ("inside", "written", "said"),
    [
        (b"\\n\\t", b"\\n\\t", "\n\t"),
        (b'\\"\\\\', b'\\"\\\\', '"\\'),
        (b"\\/", b"/", "/"),
        (b"\\u00e9", "é".encode(), "é"),
        (b"\\ud83d\\ude00", "\U0001f600".encode(), "\U0001f600"),
        (b"\\u0000", b"\\u0000", "\0"),
        ("\u2028".encode(), "\u2028".encode(), "\u2028"),
    ],
)
def test_texts_of_a_run_are_written_as_we_write_them(inside: bytes, written: bytes, said: str) -> None:
    assert runs(text(b"a") + text(inside) + text(b"b") + STOP) == [
        TextRun(f"a{said}b", pieces=[b"a", written, b"b"]),
        Finished("stop"),
    ]


FORM = chunk({"content": "@"})


@pytest.mark.parametrize(
    "form",
    [b"event: message\nid: 1\n" + FORM, FORM[:-1] + b"id: 1\n\n", b"id: 1\n" + FORM[:-1] + b": so\n\n"],
)
def test_events_of_several_lines_are_a_run_too(form: bytes) -> None:
    words = b"".join(text(word, form) for word in RUN.pieces)
    assert runs(words + STOP) == [RUN, Finished("stop")]


@pytest.mark.parametrize(
    "between", [text(b""), b": so\n\n", b"id: 1\n\n", chunk({"content": None}), chunk({"role": "assistant"})]
)
def test_what_stands_between_texts_parts_runs_and_loses_nothing(between: bytes) -> None:
    assert runs(WORDS + between + WORDS + between + STOP) == [RUN, RUN, Finished("stop")]


def test_an_end_that_is_written_as_texts_are_is_for_the_decoder() -> None:
    assert runs(WORDS + chunk({"content": ""}, "stop") + DONE) == [RUN, Finished("stop")]


def test_a_server_whose_clock_goes_on_teaches_a_second_form() -> None:
    later = chunk({"content": "@"}, created=2)
    found = runs(WORDS + text(b"a", later) + text(b"b", later) + STOP)
    assert found == [RUN, TextRun("ab", pieces=[b"a", b"b"]), Finished("stop")]


def test_a_server_that_writes_something_new_into_each_chunk_is_decoded() -> None:
    found = runs(b"".join(text(b"a", chunk({"content": "@"}, created=n)) for n in range(50)) + STOP)
    assert [type(delta) for delta in found[:-1]] == [*[TextRun] * 3, *[TextDelta] * 47]


# ---- arguments of calls -----------------------------------------------------------------------------

HEAD = (b'{\\"', b'a\\"', b":")
END = chunk({}, "tool_calls") + DONE


def called(*insides: bytes, index: int | None = 0, **more: Any) -> bytes:
    return begun(index) + b"".join(call(inside, index, **more) for inside in (*HEAD, *insides))


def calls_of(stream: bytes) -> list[Delta]:
    """The deltas of an answer that is read in one piece, which say what the decoder says."""
    read(stream, names=frozenset({"f"}))
    return [delta for delta in runs(stream, names=frozenset({"f"})) if type(delta) is not CallStarted]


def test_pieces_of_arguments_are_one_run_as_soon_as_they_can_be_no_empty_object() -> None:
    assert calls_of(called(b'\\"x', b" y", b'\\"', b"}") + END) == [
        CallArguments(0, '{"'),
        CallRun(0, 'a":"x y"}', pieces=[b'a\\"', b":", b'\\"x', b" y", b'\\"', b"}"]),
        Finished("calls"),
    ]


def test_the_arguments_of_each_call_are_runs() -> None:
    stream = called(b"1", b"}") + called(b"2", b"}", index=1) + END
    assert [type(delta) for delta in calls_of(stream)] == [CallArguments, CallRun] * 2 + [Finished]


def test_arguments_behind_a_text_are_a_run() -> None:
    found = [type(delta) for delta in calls_of(WORDS + called(b"1", b"}") + END)]
    assert found == [TextRun, CallArguments, CallRun, Finished]


def test_braces_within_arguments_part_runs_and_lose_nothing() -> None:
    found = calls_of(called(b"{", b"}", b", ", b'\\"b\\":', b"1", b"}") + END)
    assert [delta.text for delta in found if isinstance(delta, CallRun)] == ['a":{}', ', "b":1}']


@pytest.mark.parametrize("behind", [b" ", b"\\n", b"{}", b'{\\"a\\":1}', b"}", b"x"])
def test_what_comes_behind_whole_arguments_is_for_the_decoder(behind: bytes) -> None:
    assert CallRun in map(type, calls_of(called(b"1", b"}", behind, behind) + END))


def test_pieces_that_repeat_all_so_far_are_not_joined() -> None:
    grown = [b'{\\"a\\":', b'{\\"a\\":1', b'{\\"a\\":12', b'{\\"a\\":12}']
    found = calls_of(begun() + b"".join(map(call, grown)) + END)
    assert "".join(delta.text for delta in found if isinstance(delta, CallArguments)) == '{"a":12}'


@pytest.mark.parametrize(
    "more", [{"id": "other"}, {"extra_content": {"a": 1}}, {"function": {"name": "f", "arguments": "@"}}]
)
def test_pieces_that_say_more_than_arguments_teach_nothing(more: dict[str, Any]) -> None:
    assert CallRun not in map(type, calls_of(called(b"1", b"}", **more) + END))


# ---- what is not ------------------------------------------------------------------------------------

BESIDE: dict[str, bytes] = {
    "a finish reason": chunk({"content": "x"}, "length"),
    "usage": chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
    "logprobs": event(
        {**BASE, "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}}]}
    ),
    "reasoning": chunk({"content": "x", "reasoning_content": "y"}),
    "a refusal": chunk({"content": "x", "refusal": "y"}),
    "a call": chunk({"content": "x", "tool_calls": [{"index": 0, "id": "i", "function": {"name": "f"}}]}),
    "an error": event(
        {**BASE, "error": {"message": "x"}, "choices": [{"index": 0, "delta": {"content": "x"}}]}
    ),
    "another index": event({**BASE, "choices": [{"index": 1, "delta": {"content": "x"}}]}),
    "what the server wants back": chunk({"content": "x", "reasoning_details": [{"type": "t", "text": "x"}]}),
    "another content": event({**BASE, "content": "y", "choices": [{"index": 0, "delta": {"content": "x"}}]}),
    "an empty text": text(b""),
    "a text in parts": chunk({"content": [{"type": "text", "text": "x"}]}),
    "a message": event({**BASE, "choices": [{"index": 0, "message": {"content": "x"}}]}),
}


@pytest.mark.parametrize("case", BESIDE)
def test_a_chunk_that_says_more_than_text_teaches_nothing(case: str) -> None:
    parser = ChatStreamParser(splicer=Splicer(least=1))
    parser.read(BESIDE[case])
    assert TextRun not in map(type, parser.read(BESIDE[case]))


WRONG: dict[str, bytes] = {
    "half of a character": b"\xe2\x82",
    "the other half": b"\xac",
    "half of a pair": b"\\ud83d",
    "the other half of a pair": b"\\ude00",
    "half of an escape": b"\\",
    "half of an escaped character": b"\\u00",
    "no escape": b"\\q",
    "a control character": b"\x01",
    "a line break": b"\n",
    "a quotation mark": b'"',
    "the end of a chunk": b'"},"logprobs":null,"finish_reason":null}]}',
    "another member": b'","role":"user',
    "a delete": b"\x7f",
    "an escaped delete": b"\\u007f",
    "a carriage return": b"\r",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_text_that_is_none_is_left_to_the_decoder(case: str) -> None:
    stream = WORDS + text(b"a" + WRONG[case]) + text(b"b") + WORDS + STOP
    with suppress(ApiError):
        read(stream)
        assert RUN in runs(stream)


@pytest.mark.parametrize(
    "pair", [(b"\xe2\x82", b"\xac"), (b"\\ud83d", b"\\ude00"), (b"a\\", b"nb"), (b"\\u00", b"e9")]
)
def test_what_is_cut_between_two_texts_is_not_joined(pair: tuple[bytes, bytes]) -> None:
    for stream in (
        WORDS + text(pair[0]) + text(pair[1]) + STOP,
        text(pair[0]) + text(pair[1]) + WORDS + STOP,
    ):
        with suppress(ApiError):
            read(stream)


# ---- any stream -------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.sampled_from([b"a", b" word", b"\\n", "é".encode(), b"\\u00e9", *WRONG.values()]),
    st.text(max_size=3).map(lambda said: json.dumps(said)[1:-1].encode()),
    st.binary(max_size=3),
)
FRAMES = [
    chunk({"content": "@"}),
    chunk({"role": "assistant", "content": "@"}),
    chunk({"content": "@"}, created=2),
    chunk({"content": "@"}).replace(b"data: ", b"data:"),
    chunk({"content": "@"}).replace(b'"content":', b'"content": '),
    b"event: message\nid: 1\n" + chunk({"content": "@"}),
    chunk({"content": "@"}, "stop"),
    chunk({"content": "@", "tool_calls": []}),
    event({"choices": [{"delta": {"content": "@"}}]}),
    event({"choices": [{"delta": {"content": "x", "content_": "@"}}]}).replace(b"content_", b"content"),
    chunk({"reasoning_content": "@"}),
    chunk({"content": "<think>@"}),
]
OTHERS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"tool_calls": [{"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}}]}),
    chunk({}, "stop"),
    event({**BASE, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
    event({"error": {"message": "no"}}),
    b": a comment\n\n",
    b"data: x\n\n",
    b"\n",
    b"\xef\xbb\xbf",
    DONE,
]
# Nearly always the same form comes again: else nothing would ever be spliced.
ALIKE = st.builds(lambda inside, count: text(inside) * count, PIECES, st.integers(1, 4))
ARGUMENTS = st.lists(
    st.one_of(PIECES, st.sampled_from([b"{", b"}", b" ", b'\\"a\\":', b'{\\"a\\":1}', b'\\"', b"1", b"\\n"])),
    max_size=8,
)
INDEXES = st.sampled_from([0, 0, 0, 1, -1, None])
BLANKS = st.sampled_from([b" ", b"\\n", b"\\n\\n"])
CALLS = st.one_of(
    st.builds(lambda insides, index: called(*insides, index=index), ARGUMENTS, INDEXES),
    st.builds(
        lambda blank, insides: called() + text(blank) + b"".join(map(call, insides)), BLANKS, ARGUMENTS
    ),
    st.builds(lambda insides, index: b"".join(call(each, index) for each in insides), ARGUMENTS, INDEXES),
)
EVENTS = st.one_of(
    ALIKE, ALIKE, CALLS, st.builds(text, PIECES, st.sampled_from(FRAMES)), st.sampled_from(OTHERS)
)


@example([called(b"1"), text(b"\\n"), call(b"}"), text(b"x")], [], b"\n", True)
@settings(deadline=None, max_examples=400)
@given(
    events=st.lists(EVENTS, max_size=12),
    cuts=st.lists(st.integers(0, 2500), max_size=6),
    ending=st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]),
    tags=st.booleans(),
)
def test_any_stream_cut_anywhere_says_what_the_decoder_says(
    events: list[bytes], cuts: list[int], ending: bytes, tags: bool
) -> None:
    stream = b"".join(events).replace(b"\n", ending)
    with suppress(ApiError):  # then both have ended so
        read(stream, cuts, think_tags=tags, names=frozenset({"f"}))


def test_usage_behind_a_run_is_read() -> None:
    usage = event({**BASE, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})
    assert runs(WORDS + chunk({}, "stop") + usage + DONE) == [RUN, UsageDelta(7, 5), Finished("stop")]
