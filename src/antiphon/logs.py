"""How the server logs: a line an event, and tracebacks without the values of variables, which may be keys."""

import sys
import time
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

AGAIN_SECONDS = 10.0
"""After which what is told again and again is told again, with how many times."""
_PASSING = frozenset({"request_id", "response_id", "path"})
"""What differs each time something is told of that is the same."""


def _once_in_a_while() -> Processor:
    """While a database is away, each request and all that waits say the same many times a second. Such lines
    have an `error`, and no traceback."""
    told: dict[object, tuple[float, int]] = {}

    def process(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if "error" not in event or event.get("exc_info"):
            return event
        now = time.monotonic()
        key = frozenset((name, str(value)) for name, value in event.items() if name not in _PASSING)
        since, times = told.pop(key, (now - AGAIN_SECONDS, 0))
        if now < since + AGAIN_SECONDS:
            told[key] = since, times + 1
            raise structlog.DropEvent
        for old in [each for each, (at, _) in told.items() if now > at + 2 * AGAIN_SECONDS]:
            del told[old]
        told[key] = now, 0
        return {**event, "more_times": times} if times else event

    return process


def configure(least: Literal["info", "warning"] = "info") -> None:
    """For this process. `least`: what is logged at all."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _once_in_a_while(),
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
