"""What is judged of a request, and by whom."""

from collections.abc import Iterator, Sequence

from antiphon.context.agents import ROOT, owners
from antiphon.engine.moderating.moderation import Moderation, Subject
from antiphon.engine.moderating.moderator import Moderator
from antiphon.engine.prepare.approvals import decided
from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.turn_builder import TurnBuilder
from antiphon.model import Message, TextPart
from antiphon.protocol.error_messages import unsupported
from antiphon.protocol.item import Item
from antiphon.protocol.request import CreateResponse, ModerationOptions


def check_moderation(asked: ModerationOptions, moderator: Moderator | None) -> None:
    """Raises InvalidRequest where nobody does it."""
    if moderator is None:
        raise unsupported("moderation", "nothing judges here; base_url or judge of [moderation] sets that up")
    moderator.check_model(asked.model, "moderation.model")


def moderation_of(
    moderator: Moderator | None, turns: TurnBuilder, context: RequestContext
) -> Moderation | None:
    """None: the request does not want any."""
    request = turns.request
    if request.moderation is None or moderator is None:
        return None

    def given() -> Sequence[Message]:
        """What came before was judged when it came, if that was wanted."""
        return (*_variables(request), *turns.build(context.input).messages, *_of_others(turns, context.input))

    def written(items: Sequence[Item]) -> Sequence[Message]:
        return turns.transcript.read(decided(items), "all_turns")

    return Moderation(moderator, request.moderation, Subject(context.size, given, written))


def _of_others(turns: TurnBuilder, given: Sequence[Item]) -> Iterator[Message]:
    """What agents beside the root read of it."""
    for agent in dict.fromkeys(owners(given)):
        if agent != ROOT:
            yield from turns.build(given, agent).messages[turns.pinned :]


def _variables(request: CreateResponse) -> Sequence[Message]:
    """The texts that a request puts into its prompt template, wherever they stand there."""
    values = (request.prompt and request.prompt.variables) or {}
    return [Message("user", (TextPart(value),)) for value in values.values() if isinstance(value, str)]
