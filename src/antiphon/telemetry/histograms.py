"""The histograms of OpenTelemetry's conventions for generative AI, and what their values have in common."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS: Final = tuple(4.0**power for power in range(14))


class Form(Struct, frozen=True):
    """What a histogram is of, and where its buckets end."""

    unit: str
    about: str
    bounds: Sequence[float]


TOKENS: Final = "gen_ai.client.token.usage"
FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"
DURATIONS: Final[Mapping[str, str]] = {
    "chat": "gen_ai.client.operation.duration",
    "invoke_agent": "gen_ai.server.request.duration",
    "execute_tool": "gen_ai.execute_tool.duration",
}
"""How long spans took, by the name of their operation."""
FORMS: Final[Mapping[str, Form]] = {
    TOKENS: Form("{token}", "Tokens that a turn of a model read or wrote", _TOKENS),
    FIRST_CHUNK: Form("s", "From a turn's request to the first of its answer", _SECONDS),
    FIRST_TOKEN: Form("s", "From a request to the first output of its model", _FIRST),
    DURATIONS["chat"]: Form("s", "How long a turn of a model took", _SECONDS),
    DURATIONS["invoke_agent"]: Form("s", "From a request to the end of its response", _SECONDS),
    DURATIONS["execute_tool"]: Form("s", "How long a call that the server ran took", _SECONDS),
}

OPERATION: Final = "gen_ai.operation.name"
SHARED: Final = frozenset(
    {
        OPERATION,
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.tool.name",
        "error.type",
    }
)
"""Attributes of a span that its values have as well: those of few values."""
