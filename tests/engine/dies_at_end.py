"""`antiphon` that is killed once, between the last write of a run's log and the end of the run: what a test
restarts. `DIED` names the file that says that it was."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antiphon.cli import main
from antiphon.engine.background.journal import Journal
from antiphon.protocol.delta_runs import Emitted
from antiphon.protocol.response import Response

_DIED = Path(os.environ["DIED"])
_HAS_DIED = _DIED.exists()
_finish = Journal.finish


def _die() -> None:
    _DIED.touch()
    os.kill(os.getpid(), signal.SIGKILL)


async def _finish_or_die(
    self: Journal, response: Response, emitted: Sequence[Emitted], *more: Any, **members: Any
) -> None:
    if _HAS_DIED:
        await _finish(self, response, emitted, *more, **members)
        return
    self._take(emitted)
    await self.flush()  # as a write of older versions does that waits for its turn when the run ends
    _die()


if __name__ == "__main__":
    Journal.finish = _finish_or_die  # type: ignore[method-assign]
    main()
