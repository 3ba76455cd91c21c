"""A server whose spans a collector takes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace
from openai import OpenAI
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream
from tests.telemetry.collector import Collector

from antiphon.config import Config, Outbound, Telemetry

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "b7ad6b7169203331"
WITHIN = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=kept"}
"""Headers of a request that is part of something."""


def traced(
    collector: Collector, upstream: Upstream, tmp_path: Path, telemetry: Telemetry | None = None
) -> Config:
    """The configuration of a server, which may reach this machine's MCP servers."""
    return replace(
        config_for(upstream, tmp_path),
        telemetry=telemetry or Telemetry(otlp_endpoint=collector.url),
        outbound=Outbound(allow_private=True),
    )


class Traced(Running):
    """A server that has handed over all when it is stopped, however busy the machine is."""

    def stop(self) -> None:
        super().stop()
        for thread in threading.enumerate():
            if thread.name.startswith("Otel"):
                thread.join(20)


@contextmanager
def tracing(
    collector: Collector, upstream: Upstream, tmp_path: Path, telemetry: Telemetry | None = None
) -> Iterator[OpenAI]:
    """A client of a server that is stopped behind the block: by then the collector has all spans."""
    with (
        Traced(traced(collector, upstream, tmp_path, telemetry)) as running,
        checked_client(running.url) as client,
    ):
        yield client
