"""What goes back as it came, and is not taken back: sealed reasoning and signatures that a server does not
know any more, since its keys, the account or the provider behind it changed. No conversation ends with that.
"""

from typing import Final

import structlog
from msgspec.structs import replace

from antiphon.model import Turn

_NAMES: Final = ("encrypted content", "signature", "thinking` blocks")
_DOUBTS: Final = (
    "could not be verified",  # OpenAI
    "could not be decrypted",
    "invalid `signature`",  # Anthropic
    "invalid signature",
    "cannot be modified",
    "signature is not valid",  # Gemini
    "corrupted thought",
)

log = structlog.get_logger()


def without_doubtful(turn: Turn, words: str, where: str) -> Turn | None:
    """The turn without what was sealed, when a refusal is about that; None: it is not, or nothing was."""
    words = words.lower()
    doubted = any(name in words for name in _NAMES) and any(doubt in words for doubt in _DOUBTS)
    if not doubted or all(message.opaque is None for message in turn.messages):
        return None
    log.warning("sealed reasoning is left out", upstream=where, model=turn.model, reason=words)
    return replace(turn, messages=tuple(replace(each, opaque=None) for each in turn.messages))
