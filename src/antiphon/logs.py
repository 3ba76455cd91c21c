"""How the server logs: a line an event, and tracebacks without the values of variables, which may be keys."""

import sys
from typing import Literal

import structlog


def configure(least: Literal["info", "warning"] = "info") -> None:
    """For this process. `least`: what is logged at all."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
