"""The tape: what it holds of a response's requests, and how much of it."""

import tracemalloc

from yarl import URL

from antiphon.backends.tape import ANSWER_BYTES, EXCHANGES, Exchange, Room, Server, Tape

SERVER = Server("b", ())
HERE = URL("http://b/v1")
LARGE = 2**30


def asked(tape: Tape, body: bytes = b"") -> Exchange:
    exchange = tape.record(SERVER, "POST", HERE, body)
    assert exchange is not None
    return exchange


def test_nothing_is_kept_that_has_no_room_and_room_is_given_back() -> None:
    room = Room(22_000)
    tape = Tape(room, keeps=True)
    first, second = asked(tape, b"x" * 1_000), asked(tape, b"y" * 30_000)
    for _ in range(200):
        first.heard(b"z" * 100)

    assert (first.request, second.request, second.request_bytes) == (b"x" * 1_000, b"", 30_000)
    assert first.answer_bytes == 20_000
    assert 0 < len(first.answer) < 20_000
    tape.end()
    tape.release()
    assert room.left == 22_000


def test_there_are_no_more_exchanges_than_have_room() -> None:
    tape, narrow = Tape(Room(LARGE), keeps=False), Tape(Room(10_000), keeps=False)

    assert sum(tape.record(SERVER, "GET", HERE, None) is not None for _ in range(2 * EXCHANGES)) == EXCHANGES
    assert 0 < sum(narrow.record(SERVER, "GET", HERE, None) is not None for _ in range(100)) < 20


def test_an_answer_in_tiny_pieces_takes_little_more_than_its_bytes() -> None:
    exchange = asked(Tape(Room(LARGE), keeps=True))
    tracemalloc.start()
    for number in range(200_000):
        exchange.heard(b"%02d" % (number % 100))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert exchange.answer == b"".join(b"%02d" % number for number in range(100)) * 2_000
    assert held < 1_000_000


def test_what_is_passed_on_is_heard_and_the_other_way_round() -> None:
    exchange = asked(Tape(Room(LARGE), keeps=True))
    pieces = [b"%d" % number for number in range(10_000)]
    taken: list[bytes] = []
    take = exchange.passing(lambda data: bool(taken.append(data)))

    assert {take(piece) for piece in pieces} == {False}

    assert taken == pieces
    assert exchange.answer == b"".join(pieces)
    assert exchange.answer_bytes == len(exchange.answer)


def test_an_answer_that_was_cut_has_no_gap() -> None:
    exchange = asked(Tape(Room(LARGE), keeps=True))
    exchange.heard(b"a" * (ANSWER_BYTES - 1))
    exchange.heard(b"bb")
    exchange.heard(b"c")

    assert exchange.answer == b"a" * (ANSWER_BYTES - 1)
    assert exchange.answer_bytes == ANSWER_BYTES + 2


def test_what_goes_on_behind_the_end_of_a_response_is_not_on_its_tape() -> None:
    room = Room(LARGE)
    tape = Tape(room, keeps=True)
    open_one = asked(tape)
    open_one.answered(200, "")
    open_one.heard(b"before")
    tape.end()
    tape.release()

    open_one.heard(b"behind")

    assert open_one.answer == b"before"
    assert open_one.error == "The answer was not read to its end."
    assert tape.record(SERVER, "GET", HERE, None) is None
    assert room.left == LARGE


def test_a_tape_that_was_let_go_of_holds_nothing_whoever_has_it() -> None:
    room = Room(LARGE)
    tape = Tape(room, keeps=True)
    asked(tape, b"x" * 1000)
    tape.release()
    assert (tape.exchanges, room.left) == ([], LARGE)
