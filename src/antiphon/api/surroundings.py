"""What the parts of a server take from where it runs: secrets, and what may be reached."""

import os

from antiphon.config import Outbound
from antiphon.guard.addresses import Reachable, anywhere, is_public


def secret(variable: str | None) -> str | None:
    """What the configuration names and does not hold itself; None: it names nothing, or nothing is there."""
    return os.environ.get(variable) if variable else None


def reachable(settings: Outbound) -> Reachable:
    """The addresses that requests, models and code from models may lead to."""
    return anywhere if settings.allow_private else is_public
