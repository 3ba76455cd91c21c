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
    messages: list[Message] = []
    if route.settings is not None and route.settings.instructions:
        messages.append(_system(route.settings.instructions))
    if request.text is not None and not route.capabilities.verbosity:
        words = _IN_WORDS.get(request.text.verbosity or "")
        messages += [_system(words)] if words else ()
    if prompted is not None:
        messages += read(prompted)
    elif request.instructions:
        messages.append(_system(request.instructions))
    return tuple(messages)


def _system(text: str) -> Message:
    return Message("system", parts=(TextPart(text),))
