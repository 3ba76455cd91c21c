"""What the model says, told to the stream machine: deltas become verbs.

One item is open at a time, as on the real API: a delta of another kind closes what was open before.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from antiphon.backends import base
from antiphon.backends.base import Delta
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.ids import new_call_id
from antiphon.protocol.items import AssistantMessage, Reasoning
from antiphon.stream.items import OpenMessage, OpenReasoning
from antiphon.stream.machine import Machine
from antiphon.tools.base import OpenCall, Owner
from antiphon.tools.registry import Toolbox

FinishReason = Literal["stop", "length", "calls", "content_filter"]


class Telling:
    """One turn of the model, being told.

    `seal` is given when the client asked for sealed reasoning. `summarize` says that it asked for a
    summary: reasoning is then told as its own summary, word for word.
    """

    def __init__(
        self,
        machine: Machine,
        toolbox: Toolbox,
        seal: Callable[[str], str] | None = None,
        summarize: bool = False,
    ) -> None:
        self.usage: base.UsageDelta | None = None
        self.finished: FinishReason | None = None
        self.owners: set[Owner] = set()
        """Who has calls to answer."""
        self._machine = machine
        self._toolbox = toolbox
        self._seal = seal
        self._summarize = summarize
        self._message: OpenMessage | None = None
        self._thought: OpenReasoning | None = None
        self._reasoned: list[str] = []
        self._call: OpenCall | None = None
        self._take: dict[type[Any], Callable[[Any], None]] = {
            base.TextDelta: self._on_text,
            base.RefusalDelta: self._on_refusal,
            base.ReasoningDelta: self._on_reasoning,
            base.SummaryDelta: self._on_summary,
            base.CallStarted: self._on_call,
            base.CallArguments: self._on_arguments,
            base.UsageDelta: self._on_usage,
            base.Finished: self._on_finish,
        }

    def tell(self, deltas: Sequence[Delta]) -> None:
        """Tell a batch of deltas. Raises UpstreamError when they make no sense."""
        take = self._take
        for delta in deltas:
            take[type(delta)](delta)

    def close(self) -> None:
        """Close what is open, as completed."""
        if self._message is not None:
            self._message.close()
        if self._thought is not None:
            if self._seal is not None and self._reasoned:
                self._thought.encrypted_content = self._seal("".join(self._reasoned))
            self._thought.close()
        if self._call is not None:
            self._call.close()
        self._message = self._thought = self._call = None

    def _on_text(self, delta: base.TextDelta) -> None:
        self._in_message().text(delta.text, delta.logprobs)

    def _on_refusal(self, delta: base.RefusalDelta) -> None:
        self._in_message().refusal(delta.text)

    def _on_reasoning(self, delta: base.ReasoningDelta) -> None:
        thought = self._in_thought()
        self._reasoned.append(delta.text)
        if self._summarize:
            thought.summary(delta.text)
        else:
            thought.text(delta.text)

    def _on_summary(self, delta: base.SummaryDelta) -> None:
        self._in_thought().summary(delta.text)

    def _on_call(self, delta: base.CallStarted) -> None:
        self.close()
        tool = self._toolbox.tool(delta.name)
        self.owners.add(tool.owner)
        self._call = tool.open(self._machine, delta.name, delta.id or new_call_id())

    def _on_arguments(self, delta: base.CallArguments) -> None:
        if self._call is None:
            raise UpstreamError("The upstream sent arguments of a call that it had not begun.")
        self._call.arguments(delta.text)

    def _on_usage(self, delta: base.UsageDelta) -> None:
        self.usage = delta

    def _on_finish(self, delta: base.Finished) -> None:
        self.finished = delta.reason

    def _in_message(self) -> OpenMessage:
        if self._message is None:
            self.close()
            item = AssistantMessage(id=self._machine.new_id("message"), status="in_progress", content=[])
            self._message = self._machine.open(OpenMessage, item)
        return self._message

    def _in_thought(self) -> OpenReasoning:
        if self._thought is None:
            self.close()
            self._reasoned = []
            item = Reasoning(id=self._machine.new_id("reasoning"), summary=[])
            self._thought = self._machine.open(OpenReasoning, item)
        return self._thought
