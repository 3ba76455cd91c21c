"""A request, resolved: everything that its run needs."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.context.attachments import Attach
from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.engine.moderating.moderation import Moderation
from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.turn_builder import TurnBuilder
from antiphon.model import Turn
from antiphon.protocol.frames import CreateFrame, warms_up
from antiphon.protocol.hosted_items import Program
from antiphon.protocol.ids import item_ids
from antiphon.protocol.item import NewId
from antiphon.protocol.projection import Projection, projection
from antiphon.protocol.request import CreateResponse, Include, prewarms
from antiphon.protocol.response import Response
from antiphon.scripting.player import Player
from antiphon.store.keys import KeyUse
from antiphon.telemetry.tracing import KeptSpan
from antiphon.tools.provider import ApprovedCall
from antiphon.tools.toolbox import Toolbox


class Plan(Struct, frozen=True, kw_only=True):
    """What a response is made from. Nothing of it changes while it is made."""

    project: str
    request: CreateResponse
    response: Response
    """As it opens."""
    context: RequestContext
    caller: ModelCaller
    """How the model is asked."""
    toolbox: Toolbox
    turns: TurnBuilder
    """Makes turns of what the run adds to the context."""
    turn: Turn
    """The first."""
    followed: bool
    """Whether somebody may read the response while it is written."""
    generates: bool
    """Whether the model answers. A warm-up prepares the state alone."""
    approved: Sequence[ApprovedCall]
    """Calls that may be made now, before the model goes on."""
    player: Player | None
    """What plays programs; None: there are none."""
    programs: Sequence[Program]
    """Those that wait for what is known now, before the model goes on."""
    attach: Attach
    """Looks at what items have attached that come while the response is made."""
    compacts: int | None
    """How many of the items are compacted first: those before a `compaction_trigger`, or all of them when
    they have grown past a threshold."""
    moderation: Moderation | None = None
    """What judges its input and output, if the request wants that."""
    use: KeyUse | None = None
    """What it counts to; None: it was asked for without a key."""
    span: KeptSpan | None = None
    """Of a response in the background, where spans are traced."""

    @property
    def new_id(self) -> NewId:
        """Makes ids for the items of the response."""
        return item_ids(self.response.id)

    async def fitted(self) -> "Plan":
        """The plan whose first turn is within the model's window, unless it is compacted before. Raises
        InvalidRequest when it cannot be."""
        turn = self.turn if self.compacts is not None else await self.caller.fit(self.turn)
        return self if turn is self.turn else replace(self, turn=turn)

    @property
    def shows(self) -> Projection:
        """How its output is shown. What most models say has nothing that was not asked for: only items of
        tools that this server runs may have it."""
        return self._shown(self.toolbox.item_types)

    @property
    def shows_of_model(self) -> Projection:
        """The same when reasoning has it too."""
        return self._shown(self.toolbox.item_types | {"reasoning"})

    def _shown(self, types: frozenset[str]) -> Projection:
        """How items of these types are shown: with what was asked for; and with what code gave to a program,
        where the client alone keeps it: the program goes on with that."""
        asked: Sequence[Include] = self.request.include or ()
        if "code_interpreter_call" in types and self.request.store is False and self.toolbox.programmatic:
            asked = (*asked, "code_interpreter_call.outputs")
        return projection(asked, types)

    @property
    def prewarms(self) -> bool:
        """Whether the model's server is to read the context, for a cache."""
        return prewarms(self.request)


def is_followed(request: CreateResponse) -> bool:
    """Whether somebody may read its response while it is written."""
    return bool(request.stream or request.background) or isinstance(request, CreateFrame)


def generates(request: CreateResponse) -> bool:
    """Whether the model answers it."""
    return not (warms_up(request) or prewarms(request))
