"""What leads a context: instructions, or a prompt template's messages, and how long the answer should be."""

from collections.abc import Callable, Iterable, Sequence

from antiphon.model import Capabilities, Message, TextPart
from antiphon.protocol.item import Item
from antiphon.protocol.request import CreateResponse

_IN_WORDS = {
    "low": "Answer briefly, in as few words as the matter allows.",
    "high": "Answer at length: explain, and give details and examples.",
}
"""`text.verbosity`, for models that know no such thing. `medium` is how they answer anyway."""


def system_messages(
    request: CreateResponse,
    prompted: Sequence[Item] | None,
    can: Capabilities,
    read: Callable[[Iterable[Item]], Sequence[Message]],
) -> tuple[Message, ...]:
    """The messages before all others. `prompted` is what the request's prompt template says."""
    leading = read(prompted) if prompted is not None else _instructions(request)
    verbosity = request.text.verbosity if request.text else None
    words = None if can.verbosity or verbosity is None else _IN_WORDS.get(verbosity)
    return (*([_system(words)] if words else ()), *leading)


def _instructions(request: CreateResponse) -> Sequence[Message]:
    return [_system(request.instructions)] if request.instructions else ()


def _system(text: str) -> Message:
    return Message("system", parts=(TextPart(text),))
