"""What leads a context: what the configuration tells the model, how long the answer should be, and
instructions or a prompt template's messages."""

from collections.abc import Callable, Iterable, Sequence

from antiphon.backends.router import Route
from antiphon.model import Message, TextPart
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
    route: Route,
    read: Callable[[Iterable[Item]], Sequence[Message]],
) -> tuple[Message, ...]:
    """The messages before all others. `prompted` is what the request's prompt template says."""
    leading = read(prompted) if prompted is not None else _instructions(request)
    verbosity = request.text.verbosity if request.text else None
    words = None if route.capabilities.verbosity or verbosity is None else _IN_WORDS.get(verbosity)
    told = route.settings.instructions if route.settings is not None else None
    return (*(_system(text) for text in (told, words) if text), *leading)


def _instructions(request: CreateResponse) -> Sequence[Message]:
    return [_system(request.instructions)] if request.instructions else ()


def _system(text: str) -> Message:
    return Message("system", parts=(TextPart(text),))
