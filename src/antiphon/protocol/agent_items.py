"""What agents of one response do with each other (the SDK's beta types)."""

from typing import Literal

from antiphon.protocol.content import InputText, LongText, OutputText
from antiphon.protocol.item import AgentPath, Item
from antiphon.protocol.wire import CallId, Wire

Action = Literal[
    "spawn_agent", "interrupt_agent", "list_agents", "send_message", "followup_task", "wait_agent"
]


class EncryptedText(Wire, tag="encrypted_content", tag_field="type"):
    """Readable only to the server."""

    encrypted_content: LongText


class AgentText(Wire, tag="text", tag_field="type"):
    text: LongText


class AgentMessage(Item, tag="agent_message", kw_only=True):
    """What one agent tells another. It stands where the other reads it."""

    prefix = "amsg"
    author: AgentPath
    recipient: AgentPath
    content: tuple[EncryptedText | AgentText | InputText | OutputText, ...]


class MultiAgentCall(Item, tag="multi_agent_call", kw_only=True):
    prefix = "mac"
    action: Action
    arguments: str
    call_id: CallId


class MultiAgentCallOutput(Item, tag="multi_agent_call_output", kw_only=True):
    prefix = "maco"
    action: Action
    call_id: CallId
    output: tuple[OutputText, ...]
