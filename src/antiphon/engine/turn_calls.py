"""The calls of one turn: which of them may be made, and what the model reads of those that may not."""

from collections.abc import Collection, Mapping

from antiphon.model import Message, TextPart
from antiphon.protocol.errors import ModelFault
from antiphon.protocol.hosted_items import Program
from antiphon.tools.base import ToolCall
from antiphon.tools.program import ProgramCall
from antiphon.tools.refused import SecondCall
from antiphon.tools.toolbox import Toolbox


class TurnCalls:
    """What a `TurnWriter` knows of the calls that it writes, and takes of its parameters for them."""

    __slots__ = (
        "_allowed",
        "_most",
        "_offered",
        "_refused",
        "_toolbox",
        "answers",
        "calls",
        "faults",
        "ran",
        "suspended",
    )

    def __init__(
        self, toolbox: Toolbox, offered: Collection[str], allowed: int | None, most: int | None
    ) -> None:
        self.calls: list[ToolCall] = []
        self.answers: list[Message] = []
        """What the model reads of its calls: results of those that we ran, faults of those refused."""
        self.faults: list[str] = []
        """What was wrong with calls that were not valid."""
        self.ran = 0
        """How many calls are ours to run."""
        self.suspended = False
        """Whether the program that the turn brought waits for the client."""
        self._toolbox = toolbox
        self._offered = offered
        self._allowed = allowed
        self._most = most
        self._refused: dict[ToolCall, str] = {}
        """Calls that are not made, with why: the model is asked again, or may make no more."""

    @property
    def ran_upstream(self) -> int:
        """How many calls the model's server has made itself."""
        return 0

    @property
    def awaits_client(self) -> bool:
        """Whether a call was emitted that is not ours to answer."""
        return any(call.ended and call.executor in ("client", "approval") for call in self.calls)

    @property
    def program(self) -> Program | None:
        """The program that the turn brought, once it was emitted."""
        for call in self.calls:
            if isinstance(call, ProgramCall) and call.program is not None:
                return call.program
        return None

    @property
    def most_is_exceeded(self) -> bool:
        """Whether a call of ours is one too many."""
        return any(call.executor == "server" for call in self._refused)

    @property
    def called_in_vain(self) -> bool:
        """Whether a call of ours is one too many, and nothing else that the model has called is made."""
        return self.most_is_exceeded and all(call in self._refused for call in self.calls)

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why calls were not made, by their ids."""
        return {call.id: words for call, words in self._refused.items()}

    @property
    def ends(self) -> bool:
        """Whether no further turn of the model follows this one, which has ended."""
        if not self.calls:
            return True
        if self.suspended or self.awaits_client:
            return True
        return not (self.answers or self.ran or self.faults or self.program)

    # ---- which are made ----

    def _call(self, name: str, call_id: str) -> ToolCall:
        if self._most is None or len(self.calls) < self._most:
            return self._toolbox.call(name, call_id, self._offered)
        second = SecondCall(name, call_id)
        self._refuse(second, second.words)
        return second

    def _put_program_last(self) -> None:
        """What is emitted between a program and its output is its own: so a turn has one, and it is last."""
        programs = [call for call in self.calls if call.executor == "program" and call not in self._refused]
        for call in programs[1:]:
            self._refuse(call, "This program was not run: only one may run at a time. Send it again now.")
        self.calls.sort(key=lambda call: call in programs)

    def _is_due(self, call: ToolCall) -> bool:
        """Whether something is still to be done about a call: ours are run when they are emitted."""
        return call not in self._refused and (call.executor == "server" or not call.ended)

    def _passes(self, call: ToolCall) -> bool:
        """Whether a call that is whole may be made. Raises ModelFault when part of it is emitted and it
        may not."""
        if call.ended:
            return True
        fault = call.validate()
        if fault is not None and call.item is not None:
            raise ModelFault(f"The model wrote a call that is not valid: {fault}")
        if fault is not None:
            self.faults.append(fault)
            self._refuse(call, fault)
        return fault is None

    async def _is_right(self, call: ToolCall) -> bool:
        """Whether a call that is due may be made."""
        if not self._passes(call):
            return False
        fault = await call.check() if call.held and not call.ended else None
        if fault is not None:
            self.faults.append(fault)
            self._refuse(call, fault)
        return fault is None

    def _refuse(self, call: ToolCall, words: str) -> None:
        self._refused[call] = words
        self.answers.append(Message("tool", parts=(TextPart(words),), call_id=call.id))

    def _admit(self, call: ToolCall) -> None:
        """A call of ours counts; one too many is ignored (`max_tool_calls`), and the model reads so."""
        if self._allowed is None or self.ran + self.ran_upstream < self._allowed:
            self.ran += 1
        else:
            self._refuse(call, "This call was not made: the response may make no more tool calls.")
