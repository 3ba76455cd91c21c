"""Agents that a model has work for it, in the same response (the SDK's beta types).

The model sees the actions as functions. Who carries them out is the crew of the response, since agents are
turns of the model, of which tools know nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from antiphon.model import Function, Message, TextPart
from antiphon.protocol.agent_items import Action, MultiAgentCall, MultiAgentCallOutput
from antiphon.protocol.content import OutputText
from antiphon.stream.machine import SPEAKER, Machine, OpenItem
from antiphon.tools.base import ServerCall, Tool, ToolResult
from antiphon.tools.calls import Arguments, WholeCall
from antiphon.tools.emitter import Emitter
from antiphon.tools.messages import answered, called

KIND = "multi_agent"
_TARGET = {"type": "string", "description": "The name of an agent, such as /root/research."}
_TEXT = {"type": "string"}


class _Row:
    """An action, as a function."""

    def __init__(self, about: str, **members: Any) -> None:
        self.about = about
        self.members = members

    def function(self, name: str) -> Function:
        schema = {"type": "object", "properties": self.members, "required": list(self.members)}
        return Function(name, self.about, {**schema, "additionalProperties": False})


_ROWS: Mapping[Action, _Row] = {
    "spawn_agent": _Row(
        "Have another agent do a task of its own beside you. It knows nothing but the message, and has the "
        "same tools. Its last message comes to you.",
        task_name={"type": "string", "description": "A short name: letters, digits, _ and -."},
        message={"type": "string", "description": "The whole task."},
    ),
    "send_message": _Row(
        "Tell an agent something, which it reads before its next turn.", target=_TARGET, message=_TEXT
    ),
    "followup_task": _Row(
        "Give an agent that you know more work. It goes on at once.", target=_TARGET, message=_TEXT
    ),
    "wait_agent": _Row("Wait until an agent has a message for you."),
    "interrupt_agent": _Row("Stop what an agent does. It keeps what it knows.", target=_TARGET),
    "list_agents": _Row("All agents, what they do, and their newest tasks."),
}


class Crew(Protocol):
    """The agents of a response."""

    async def act(self, agent: str, action: Action, arguments: Arguments) -> str:
        """Carry out what an agent wants; what it reads of that."""


class Agents(Tool):
    """The tool. `crew` is set when the response begins."""

    executor = "server"
    crew: Crew | None = None

    def functions(self) -> Sequence[Function]:
        return [row.function(name) for name, row in _ROWS.items()]

    def call(self, name: str, call_id: str) -> "AgentCall":
        return AgentCall(name, call_id, self)


class AgentCall(WholeCall, ServerCall):
    """A call of the agent in whose name items are added."""

    def __init__(self, name: str, call_id: str, tool: Agents) -> None:
        super().__init__(name, call_id)
        self._tool = tool
        self._agent = SPEAKER.get() or ""

    @property
    def action(self) -> Action:
        return cast(Action, self.name)

    def fault(self, arguments: Arguments) -> str | None:
        for member in _ROWS[self.action].members:
            if not isinstance(arguments.get(member), str) or not arguments[member]:
                return f"`{member}` must be a text."
        return None

    def conclude(self, machine: Machine) -> None:
        item = MultiAgentCall(
            id=machine.new_id("multi_agent_call"),
            action=self.action,
            arguments=self.arguments,
            call_id=self.id,
        )
        self.item = machine.open(OpenItem, item)
        self.item.finish(item)

    async def run(self, emit: Emitter) -> ToolResult:
        await emit.turn()
        assert self._tool.crew is not None, "no response has begun"
        told = await self._tool.crew.act(self._agent, self.action, self.decoded)
        output = MultiAgentCallOutput(
            id=emit.new_id("multi_agent_call_output"), action=self.action, call_id=self.id, output=()
        )
        await (await emit.add(output)).done(output=(OutputText(text=told),))
        return ToolResult((TextPart(told),))


def call_to_messages(item: MultiAgentCall) -> Sequence[Message]:
    return (called(item.call_id, item.action, item.arguments),)


def output_to_messages(item: MultiAgentCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, "\n".join(part.text for part in item.output)),)
