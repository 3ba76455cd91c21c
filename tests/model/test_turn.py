"""How much there is to do for a turn, which decides whether it keeps others waiting."""

from antiphon.backends.dialects import Dialect
from antiphon.backends.messages import render_turn
from antiphon.guard.offload import SMALL
from antiphon.model import HostedPart, Message, Said, TextPart, Turn
from antiphon.protocol.hosted_items import Search, WebSearchCall


def message(role: str, text: str = "x") -> Message:
    return Message(role, (TextPart(text),))  # type: ignore[arg-type]


def turn(pairs: int) -> Turn:
    said = Said((message("user"), message("assistant")) * pairs)
    return Turn("m", (message("system"), *said.messages, message("user")), said=said)


def test_what_was_said_before_counts_until_a_backend_has_written_it() -> None:
    asked = turn(SMALL)

    assert asked.unwritten > SMALL
    render_turn(asked, Dialect(name="any"))
    assert asked.unwritten < SMALL


def test_what_was_said_before_counts_for_who_looks_at_all_of_it() -> None:
    asked = turn(SMALL)
    render_turn(asked, Dialect(name="any"))

    assert asked.size > SMALL


def test_what_others_read_of_a_tool_that_the_server_ran_counts_as_messages() -> None:
    search = WebSearchCall(id="ws_1", status="completed", action=Search(queries=["x"], query="x"))
    ran = HostedPart(search, "b", (message("assistant"),) * 10)

    assert Turn("m", (Message("assistant", (ran,)),)).size > 10
