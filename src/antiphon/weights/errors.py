"""What goes wrong with weights."""


class WeightsError(Exception):
    """The weights cannot be had; the message says why and what to do."""
