"""The verdict finds what it is there to find."""

from collections.abc import Callable

import pytest
from tests.chaos import sample
from tests.chaos.case import Case, Frame, Told
from tests.chaos.verdict import judge

FIRST, SECOND = sample.PLAN.keys


def found(case: Case, recorded: dict[str, int] | None = None) -> str:
    return "; ".join(judge(case, sample.RECORDED if recorded is None else recorded))


def rewritten(frame: Frame, old: bytes, new: bytes) -> Frame:
    assert old in frame.data
    return Frame(frame.data.replace(old, new))


def test_a_run_that_went_on_after_two_crashes_is_right() -> None:
    assert found(sample.case()) == ""
    assert sample.case().takeovers == 2


def spoil(old: bytes, new: bytes) -> Callable[[Case], None]:
    def spoiled(case: Case) -> None:
        assert case.final
        assert old in case.final
        case.final = case.again = case.final.replace(old, new)

    return spoiled


# ---- readers ----------------------------------------------------------------------------------------


def test_a_gap_is_found() -> None:
    case = sample.case()
    del case.readers[0].frames[7]

    assert found(case) == "a gap: a reader from 0 was told 8 where 7 was due"


def test_a_repeat_is_found() -> None:
    case = sample.case()
    case.readers[1].frames.insert(3, case.readers[1].frames[2])

    assert found(case) == "a repeat: a reader from 5 was told 7 where 8 was due"


def test_a_rewrite_is_found_even_of_one_byte() -> None:
    case = sample.case()
    case.readers[0].frames[0] = rewritten(case.log[0], b'"type"', b' "type"')

    assert found(case).startswith("event 0 was rewritten: told as ")


def test_an_event_that_was_emitted_and_not_kept_is_found() -> None:
    case = sample.case()
    case.readers = [Told(0, [*case.log, case.log[-1]])]

    assert found(case) == f"a reader from 0 was told of event {len(case.log)}, which the log does not have"


def test_what_the_official_client_missed_is_found() -> None:
    case = sample.case()
    del case.parsed[3]

    assert "the official client was given (4, " in found(case)


# ---- the log ----------------------------------------------------------------------------------------


def test_a_log_whose_numbers_begin_anew_is_found() -> None:
    case = sample.case()
    case.log[20] = rewritten(case.log[20], b'"sequence_number":20', b'"sequence_number":0')

    assert "event 20 of the log has the number 0" in found(case)
    assert "the log does not fold" in found(case)


def test_a_log_that_does_not_give_the_response_is_found() -> None:
    case = sample.case()
    spoil(b'"completed_at":2', b'"completed_at":3')(case)

    assert "the log folds to {" in found(case)


def test_a_log_that_does_not_end_is_found() -> None:
    case = sample.case()
    del case.log[-1]

    assert "the log ends with response.output_item.done" in found(case)


def test_bytes_that_are_no_event_are_found() -> None:
    case = sample.case()
    case.log[4] = Frame(case.log[4].data[:-9])

    assert found(case).startswith("Not an event: ")


def test_a_cut_item_without_a_crash_is_found() -> None:
    case = sample.case()
    case.log = [frame for frame in case.log if frame.kind != "response.in_progress"]

    assert "are incomplete, though nobody took over" in found(case)


# ---- the calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({FIRST: 3, SECOND: 1}, f"{FIRST}: recorded 3 times, and the log tells of 2 calls"),
        ({FIRST: 1, SECOND: 2}, f"{SECOND}: recorded 2 times, and the log tells of 1 calls"),
        ({FIRST: 1, SECOND: 0}, f"{SECOND}: told as completed, and never recorded"),
    ],
)
def test_calls_that_the_log_does_not_know_are_found(recorded: dict[str, int], said: str) -> None:
    assert found(sample.case(), recorded) == said


def test_a_completed_call_that_is_made_again_is_found() -> None:
    case = sample.case()
    spoil(SECOND.encode(), FIRST.encode())(case)

    assert f"{FIRST}: a completed call was made again" in found(case)
    assert f"{SECOND}: was never called" in found(case)


def test_a_call_that_failed_for_no_reason_is_found() -> None:
    case = sample.case()
    spoil(b'"mcp_2","status":"completed"', b'"mcp_2","status":"failed"')(case)

    assert "call mcp_2 failed, of a tool that always works" in found(case)


# ---- the response -----------------------------------------------------------------------------------


def absent(case: Case) -> None:
    case.final = None


def changing(case: Case) -> None:
    case.again = b"{}"


def unlisted(case: Case) -> None:
    case.input_items = []


def taken_back(case: Case) -> None:
    assert case.final
    case.polls.append(case.final.replace(b'"status":"incomplete"', b'"status":"completed"', 1))


def cancelled_in_vain(case: Case) -> None:
    case.cancels = [case.polls[0]]


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (absent, "was acknowledged and is not there"),
        (changing, "a second GET returns something else"),
        (unlisted, "its input is not among its input items"),
        (taken_back, "a poll was told items that are not those of the end"),
        (cancelled_in_vain, "a cancellation returned"),
        (spoil(b'"status":"completed","background"', b'"status":"in_progress","background"'), "never ended"),
        (spoil(b'"status":"completed","background"', b'"status":"failed","background"'), "ended as failed"),
        (spoil(b'"mcp_2"', b'"mcp_1"'), "two items have the id mcp_1"),
        (spoil(b"Turn 1", b"Turn 2"), "its text is"),
    ],
)
def test_a_response_that_is_wrong_is_found(spoiled: Callable[[Case], None], said: str) -> None:
    case = sample.case()
    spoiled(case)

    assert said in found(case)


def test_who_cancelled_gets_a_cancelled_response() -> None:
    case = sample.case(sample.cancelled())
    assert "ended as cancelled" in found(case, {FIRST: 0, SECOND: 0})
    assert case.final
    case.cancels = [case.final, case.final]

    assert found(case, {FIRST: 0, SECOND: 0}) == ""


def test_a_response_in_the_foreground_may_die_with_its_server_but_not_after_its_end() -> None:
    case = Case("foreground", sample.PLAN, "resp_1", background=False, excused=True)
    case.readers = [Told(0, sample.log()[:9])]
    assert found(case, {FIRST: 1, SECOND: 0}) == ""
    assert found(case, {FIRST: 2, SECOND: 0}) == f"{FIRST} was recorded twice"

    case.readers = [Told(0, sample.log())]

    assert found(case, {FIRST: 1, SECOND: 1}) == "was told to its end and is not there"
