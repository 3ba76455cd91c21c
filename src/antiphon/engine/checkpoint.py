"""How far a background run is, for the process that goes on with it."""

import msgspec

from antiphon.protocol.response import ImageUsage, Usage
from antiphon.protocol.wire import Wire


class Checkpoint(Wire):
    """What its log does not say. It is stored until the run has ended: names on the disk are for good."""

    usage: Usage | None = None
    """Of the turns that ended."""
    images: ImageUsage | None = None
    """Of the pictures that were made, where their server counts."""
    ran: int = 0
    """How many calls were ours to run."""
    first_at: float | None = None
    """When the model first gave output: seconds since the epoch."""
    output_complete: bool = msgspec.field(default=False, name="said")
    """Whether all of the output was emitted, and only the end is missing."""
