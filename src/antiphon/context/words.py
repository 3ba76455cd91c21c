"""Words alone: finished messages of text, which is all that most contexts hold.

Nothing there is a call to be paired, approved or answered, an attachment to be fetched, or a setting: who
looks for such things need not look. Whether items are words is found out without a step of Python for each.
"""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import TypeGuard

from antiphon.context.transcript import breakpoint_of, together
from antiphon.model import Message, Said, TextPart
from antiphon.protocol.content import InputText, OutputText
from antiphon.protocol.item import InputItem, Item
from antiphon.protocol.items import AssistantMessage, InputMessage

_MESSAGES = frozenset((InputMessage, AssistantMessage))
_TEXTS = frozenset((InputText, OutputText))
_DONE = frozenset(("completed",))
_content, _status, _role = attrgetter("content"), attrgetter("status"), attrgetter("role")


def are_messages(items: Sequence[InputItem]) -> TypeGuard[Sequence[Item]]:
    """Whether the items are messages, whatever they hold."""
    return _MESSAGES.issuperset(map(type, items))


def are_words(items: Sequence[Item]) -> bool:
    """Whether the items, in the form in which they are stored, are words alone."""
    return (
        are_messages(items)
        and _DONE.issuperset(map(_status, items))
        and _TEXTS.issuperset(map(type, chain.from_iterable(map(_content, items))))
    )


def read_words(items: Sequence[Item]) -> tuple[Message, ...]:
    """The messages that such items are, as a transcript reads them."""
    return (_message(items[0]),) if len(items) == 1 else together(map(_message, items))


def said_in(items: Sequence[Item], before: Said | None) -> Said | None:
    """What was said `before` and in words behind it; None: it was not said by turns, user first."""
    if not items:
        return before
    if (_role(items[0]), _role(items[-1])) != ("user", "assistant"):  # seen without reading them
        return None
    more = read_words(items)
    roles = tuple(map(_role, more))
    if roles != ("user", "assistant") * (len(roles) // 2):
        return None
    return Said(more) if before is None else Said((*before.messages, *more), before.written)


def _message(item: Item) -> Message:
    return Message(_role(item), tuple(map(_text, _content(item))))


def _text(part: InputText | OutputText) -> TextPart:
    if type(part) is InputText and part.prompt_cache_breakpoint is not None:
        return TextPart(part.text, breakpoint_of(part))
    return TextPart(part.text)
