"""One call to a model: what it needs (`Turn`), what comes back (`Delta`), and who answers (`Backend`).

These types are neutral: no backend knows of items or events, and nothing beyond the engine knows which model
speaks.
"""

from antiphon.model.backend import Backend, Capabilities, Model, Overrated
from antiphon.model.delta import (
    AudioDelta,
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    UsageDelta,
    has_output,
)
from antiphon.model.opaque import Opaque
from antiphon.model.passthrough import Endpoint, Members, Passed, Passthrough
from antiphon.model.turn import (
    AudioPart,
    Call,
    Choice,
    FilePart,
    Format,
    Function,
    Grammar,
    ImagePart,
    JsonSchema,
    Message,
    NamedFunction,
    Part,
    Sampling,
    TextPart,
    Turn,
)

__all__ = [
    "AudioDelta",
    "AudioPart",
    "Backend",
    "Call",
    "CallArguments",
    "CallStarted",
    "Capabilities",
    "Choice",
    "Delta",
    "Endpoint",
    "FilePart",
    "Finished",
    "Format",
    "Function",
    "Grammar",
    "ImagePart",
    "JsonSchema",
    "Members",
    "Message",
    "Model",
    "NamedFunction",
    "Opaque",
    "OpaqueDelta",
    "Overrated",
    "Part",
    "Passed",
    "Passthrough",
    "ReasoningDelta",
    "RefusalDelta",
    "Sampling",
    "SummaryDelta",
    "TextDelta",
    "TextPart",
    "Turn",
    "UsageDelta",
    "has_output",
]
