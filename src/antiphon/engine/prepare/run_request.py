"""What is kept of a request that runs in the background, beside its items."""

import msgspec
from msgspec.structs import replace

from antiphon.context.seal import Seal
from antiphon.engine.prepare.plan import Plan
from antiphon.protocol.errors import ApiError
from antiphon.protocol.items import AdditionalTools
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.wire import Wire, encode
from antiphon.store.keys import KeyUse
from antiphon.telemetry.tracing import KeptSpan

KIND = "run"
"""What it is sealed as: it may hold secrets that reach no other place."""


class RunRequest(Wire):
    """It is stored until its run has ended: names on the disk are for good."""

    request: CreateResponse
    """Without its input."""
    trigger: int | None = None
    """How many of the items are compacted first."""
    only_compacts: bool = False
    inline_tools: list[AdditionalTools] = msgspec.field(default_factory=list, name="brought")
    """Items of the input that bring tools: these may have secrets."""
    use: KeyUse | None = None
    """What it counts to."""
    span: KeptSpan | None = None
    """Its own, where spans are traced."""


def sealed(seal: Seal, plan: Plan, request: CreateResponse) -> bytes:
    """What is kept of `request`, which the plan was made from."""
    context = plan.context
    kept = RunRequest(
        request=replace(request, input=""),
        trigger=plan.compacts,
        only_compacts=context.only_compacts,
        inline_tools=list(context.inline_tools),
        span=plan.span,
        use=plan.use,
    )
    return seal.seal(plan.project, KIND, encode(kept).decode()).encode()


def opened(seal: Seal, project: str, kept: bytes) -> RunRequest:
    """Raises ApiError."""
    request = seal.open(project, KIND, kept.decode())
    if request is None:
        raise ApiError("The run was accepted with another sealing key, and cannot be continued.")
    return msgspec.json.decode(request, type=RunRequest)
