"""From items to what a model reads: one message after another, oldest first.

A model's turn may be several items (reasoning, a message, calls); neighbours of the assistant's become
one message again, since that is how the model wrote them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from antiphon.context.thought import Source, Thought
from antiphon.model import AudioPart, FilePart, ImagePart, Message, Opaque, Part, TextPart
from antiphon.protocol.agent_items import EncryptedText
from antiphon.protocol.content import InputAudio, InputFile, InputImage, InputText, OutputText, Refusal
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.items import (
    AdditionalTools,
    AgentMessage,
    AssistantMessage,
    Compaction,
    ConfigurationUpdate,
    InputMessage,
    Reasoning,
)

Recall = Callable[[Item], Sequence[Message] | None]
Unseal = Callable[[str, str], str | None]
"""Opens content that was sealed as a kind."""
Recollect = Callable[[str], Thought | None]
"""Opens the encrypted content of reasoning."""
Attached = Callable[[Item], Item]
"""An item with what it has attached, by value."""
COMPACTION = "compaction"
AGENT = "agent message"
BLANK_LINE = "\n\n"

# What a server may have sealed, ours or another: base64, of no fewer letters than an empty text comes to.
_SEALED = re.compile(r"[A-Za-z0-9_+/-]{39,}=*").fullmatch

ReasoningContext = Literal["auto", "current_turn", "all_turns"]


class Transcript(Struct, eq=False):
    """Reads items."""

    _recall: Recall
    """Reads those of tools."""
    _unseal: Unseal
    """Opens compactions."""
    _recollect: Recollect
    """Opens reasoning."""
    _attached: Attached = lambda item: item
    """Brings what items have attached."""
    source: Source = ("", "")
    """Who reads them."""
    _of_calls: Mapping[str, Opaque] = {}
    """What goes back with calls as it came, by their ids, where no reasoning brings it."""
    withheld: dict[str, None] = {}
    """The ids of reasoning whose sealed part only another model can read, in their order, as far as it was
    read."""

    def read(self, items: Iterable[Item], reasoning: ReasoningContext = "auto") -> tuple[Message, ...]:
        """The messages that the items are. Raises InvalidRequest for an item that no model can read."""
        messages = together(message for item in items for message in self._read(self._attached(item)))
        if self._of_calls:
            messages = tuple(self._with_opaque(message) for message in messages)
        return tuple(_with_reasoning(messages, reasoning))

    def _read(self, item: Item) -> Sequence[Message]:
        if isinstance(item, InputMessage):
            return (Message(item.role, parts=_input_parts(item)),)
        if isinstance(item, AssistantMessage):
            return (Message("assistant", parts=_output_parts(item)),)
        if isinstance(item, Reasoning):
            return (self._reasoning(item),)
        if isinstance(item, Compaction):
            if not item.encrypted_content:
                return ()  # it was given up before it was made
            return (Message("user", parts=(TextPart(self._compacted(item)),)),)
        if isinstance(item, AgentMessage):
            return (Message("user", parts=(TextPart(self._from_agent(item)),)),)
        if isinstance(item, AdditionalTools | ConfigurationUpdate):
            return ()  # they act on the turn, not on its text
        recalled = self._recall(item)
        if recalled is None:
            kind = item_type(item)
            raise InvalidRequest(
                f"Items of type '{kind}' are not supported by this server yet.",
                param="input",
                code="unsupported_value",
            )
        return recalled

    def _reasoning(self, item: Reasoning) -> Message:
        sealed = item.encrypted_content
        thought = None if sealed is None else self._recollect(sealed)
        text = "".join(part.text for part in item.content or ())
        if not text and sealed is not None and thought is None:
            raise _not_ours("reasoning")
        # Of reasoning that only its own server can read, the summary is what others can.
        text = text or (thought.text if thought else "") or "\n".join(part.text for part in item.summary)
        opaque = thought.opaque_for(self.source) if thought else None
        if thought is not None and thought.opaque and opaque is None:
            self.withheld[item.id or ""] = None
        return Message("assistant", reasoning=text, opaque=opaque)

    def _with_opaque(self, message: Message) -> Message:
        found = [opaque for call in message.calls if (opaque := self._of_calls.get(call.id))]
        return replace(message, opaque=reduce(Opaque.plus, found)) if found else message

    def _from_agent(self, item: AgentMessage) -> str:
        told = (self._told(part) if isinstance(part, EncryptedText) else part.text for part in item.content)
        return letter(item.author, item.recipient, "\n".join(text for text in told if text))

    def _told(self, part: EncryptedText) -> str:
        """Codex passes on what its model wrote as an argument, which the API seals, and we do not."""
        text = self._unseal(AGENT, part.encrypted_content)
        if text is None and _SEALED(part.encrypted_content):
            raise _not_ours("agent_message")
        return part.encrypted_content if text is None else text

    def _compacted(self, item: Compaction) -> str:
        text = self._unseal(COMPACTION, item.encrypted_content)
        if text is None:
            raise _not_ours(COMPACTION)
        return f"Summary of the conversation so far:\n{text}"


def letter(author: str, recipient: str, text: str) -> str:
    """What an agent reads of what another one tells it."""
    return f"Message from the agent {author} to you, {recipient}:\n{text}"


def _not_ours(kind: str) -> InvalidRequest:
    return InvalidRequest(
        f"The encrypted content of a {kind} item could not be opened: it was not sealed by this "
        "server for this project. Leave the item out.",
        param="input",
        code="invalid_encrypted_content",
    )


def together(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages, of which those that the model wrote as one are one."""
    turns: list[list[Message]] = []
    for message in messages:
        if turns and message.role == turns[-1][0].role == "assistant":
            turns[-1].append(message)
        else:
            turns.append([message])
    return tuple([turn[0] if len(turn) == 1 else _together(turn) for turn in turns])


def _together(turn: list[Message]) -> Message:
    return Message(
        "assistant",
        parts=tuple(_apart(message.parts for message in turn)),
        calls=tuple(call for message in turn for call in message.calls),
        reasoning=BLANK_LINE.join(message.reasoning for message in turn if message.reasoning),
        opaque=_opaque(turn),
    )


def _opaque(turn: list[Message]) -> Opaque | None:
    given = [message.opaque for message in turn if message.opaque is not None]
    return reduce(Opaque.plus, given) if given else None


def _apart(messages: Iterable[Sequence[Part]]) -> Iterator[Part]:
    """The parts of several messages, which are thoughts of their own: a blank line stands between texts."""
    last: Part | None = None
    for parts in filter(None, messages):
        if isinstance(last, TextPart) and isinstance(parts[0], TextPart):
            yield TextPart(BLANK_LINE)
        yield from parts
        last = parts[-1]


def _with_reasoning(messages: Sequence[Message], context: ReasoningContext) -> Sequence[Message]:
    """With what the model is shown again of its reasoning: that behind the newest user message, which the
    turn goes on with; and on its own account that of calls, which some servers insist on. What servers want
    back goes back, unless it is reasoning that nobody wants any more."""
    if context == "all_turns":
        return messages
    newest = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    return [
        _silent(m, context)
        if (m.reasoning or m.opaque) and i < newest and not (m.calls and context == "auto")
        else m
        for i, m in enumerate(messages)
    ]


def _silent(message: Message, context: ReasoningContext) -> Message:
    opaque = message.opaque
    if opaque is not None and context == "current_turn":
        opaque = Opaque(calls=opaque.calls)
    return replace(message, reasoning="", opaque=opaque)


def _output_parts(item: AssistantMessage) -> tuple[Part, ...]:
    if isinstance(item.content, str):
        return (TextPart(item.content),)
    return tuple(
        TextPart(part.text if isinstance(part, OutputText) else part.refusal) for part in item.content
    )


def _input_parts(item: InputMessage) -> tuple[Part, ...]:
    if isinstance(item.content, str):
        return (TextPart(item.content),)
    return tuple(input_part(part) for part in item.content)


def input_part(part: InputText | InputImage | InputFile | InputAudio | Refusal) -> Part:
    """A content part of a message or of a tool's output, as a model reads it."""
    if isinstance(part, InputText):
        return TextPart(part.text, breakpoint_of(part))
    if isinstance(part, InputImage) and part.image_url:
        return ImagePart(part.image_url, part.detail or "auto", breakpoint_of(part))
    if isinstance(part, InputAudio):
        return AudioPart(part.input_audio.data, part.input_audio.format)
    if isinstance(part, InputFile) and part.file_data:
        return FilePart(part.file_data, part.filename or "file", breakpoint_of(part))
    raise InvalidRequest(
        "A part of the input was not made into what a model reads.", param="input", code="unsupported_value"
    )


def breakpoint_of(part: InputText | InputImage | InputFile) -> str | None:
    """Whether a prefix that is worth caching ends with a part."""
    given = part.prompt_cache_breakpoint
    return None if given is None else given.ttl or ""
