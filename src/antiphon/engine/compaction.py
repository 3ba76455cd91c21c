"""Compaction: the model writes down what matters of a context that has grown long.

The summary is sealed into a `compaction` item: only this installation reads it, for this project. Read back,
it stands for everything before it, except what users and developers wrote, which survives word for word.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from antiphon.context.agents import owners
from antiphon.context.seal import Seal
from antiphon.context.transcript import COMPACTION
from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.engine.spans import answered, asking
from antiphon.model import Message, TextPart, Turn, UsageDelta
from antiphon.protocol.errors import ModelFault
from antiphon.protocol.item import Item
from antiphon.protocol.items import Compaction, InputMessage

_ASK = (
    "Write a summary of this conversation for yourself: you will go on from it without seeing what came "
    "before. Keep the goal, decisions and their reasons, facts, names, numbers, file paths, commands and "
    "their outcome, what is done and what is still to do. Leave out pleasantries. Answer with the summary "
    "alone."
)


class Compacted(NamedTuple):
    """A summary, sealed, and what it cost."""

    encrypted_content: str
    usage: UsageDelta | None


async def compact(caller: ModelCaller, turn: Turn, seal: Seal, project: str) -> Compacted:
    """Have the turn's context summed up. Raises ModelFault when the model has nothing to say."""
    question = Message("user", parts=(TextPart(_ASK),))
    asked = replace(turn, messages=(*turn.messages, question), functions=(), choice="auto", format="text")
    with asking(asked) as span:
        summary, usage = await caller.complete(asked)
        if span is not None:
            answered(span, caller, "stop", usage)
    if not summary:
        raise ModelFault("The model wrote no summary.")
    return Compacted(seal.seal(project, COMPACTION, summary), usage)


def since_compaction(items: Sequence[Item]) -> Sequence[Item]:
    """What is still read of a context: the newest compaction of an agent stands for what it had read before.
    What users, systems and developers wrote stays as it is."""
    made = [isinstance(item, Compaction) and bool(item.encrypted_content) for item in items]
    if not any(made):
        return items
    readers = tuple(owners(items))
    newest = {reader: at for at, (reader, compacts) in enumerate(zip(readers, made, strict=True)) if compacts}
    return tuple(
        item
        for at, (item, reader) in enumerate(zip(items, readers, strict=True))
        if at >= newest.get(reader, 0) or isinstance(item, InputMessage)
    )


def kept(items: Sequence[Item]) -> Sequence[Item]:
    """What a compaction leaves as it is: the words of users, systems and developers."""
    return tuple(item for item in items if isinstance(item, InputMessage))
