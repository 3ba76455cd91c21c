"""Whether requests may be sent to this process, for balancers that ask again and again.

What it says is a second old at most, so those who ask cost the store nothing, however often they do.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from antiphon.api.draining import Draining

log = structlog.get_logger()

SECONDS = 2.0
"""In which everything has to answer."""
_FRESH_SECONDS = 1.0

Probe = Callable[[], Awaitable[object]]


class Readiness:
    """What the process stands on, looked at."""

    def __init__(self, probes: Mapping[str, Probe], draining: Draining) -> None:
        """`probes`: raise where something cannot be reached."""
        self._probes = probes
        self.draining = draining
        self._hanging: dict[str, asyncio.Future[object]] = {}
        self._seen: dict[str, str] = {}
        self._seen_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def said(self) -> tuple[bool, dict[str, str]]:
        """Whether it is ready, and a word on each."""
        async with self._one_at_a_time:
            if time.monotonic() > self._seen_at + _FRESH_SECONDS:
                states = await asyncio.gather(*map(self._state, self._probes))
                self._seen, self._seen_at = dict(zip(self._probes, states, strict=True)), time.monotonic()
        is_whole = set(self._seen.values()) <= {"reachable"}
        status = "draining" if self.draining.begun else "ready" if is_whole else "not ready"
        return status == "ready", {"status": status, **self._seen}

    async def _state(self, name: str) -> str:
        """A probe that hangs may hang on when it is cancelled, as a query does to a database that is silent:
        so it is left as it is, and asked for again."""
        probe = self._hanging.pop(name, None) or asyncio.ensure_future(self._probes[name]())
        try:
            if not (await asyncio.wait({probe}, timeout=SECONDS))[0]:
                self._hanging[name] = probe
                raise TimeoutError
            await probe
        except Exception as error:  # noqa: BLE001 (whatever it is, it is not reachable)
            log.warning("not reachable", what=name, error=str(error) or type(error).__name__)
            return "unreachable"
        return "reachable"
