"""What the head of an answer says of it: who answered, and what of the request went unheeded.

`x-antiphon-warnings` is a list of RFC 9651 (structured fields): the name of each parameter or type of tool,
with the reason as `why`. Both headers are ASCII and bounded.
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from antiphon.engine.engine import Engine
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.warnings import Warning

WARNINGS = b"x-antiphon-warnings"
Headers = list[tuple[bytes, bytes]]

_LONGEST = 1024
"""Bytes of the warnings: what is more is left to the log."""
_LONGEST_NAME = 128


def headers(engine: Engine, plan: Plan) -> Headers:
    """The headers of a response that is planned. Nothing is known of it later but what refusals teach."""
    name = plan.caller.backend_name
    found = [_backend(name)] if name else []
    if warnings := engine.warnings.of(plan):
        found.append((WARNINGS, listed(warnings)))
    return found


@lru_cache(maxsize=256)
def _backend(name: str) -> tuple[bytes, bytes]:
    """A name of the configuration may have any characters: those that no header has are percent-encoded."""
    return b"x-antiphon-backend", quote(name, safe=" !#$&'()*+,/:;=?@[]~")[:_LONGEST_NAME].encode()


def listed(warnings: Sequence[Warning]) -> bytes:
    listed = ""
    for warning in warnings:
        item = f'{", " if listed else ""}{warning.name};why="{warning.why}"'
        if len(listed) + len(item) > _LONGEST:
            break
        listed += item
    return listed.encode("ascii")
