"""Who reads the log of a run as it grows.

What this process writes he is told when it is durable, so he need not read it again. All else is read from
the store: what was written before he came, what another process writes, and what came while he still had
something that he was told.
"""

from collections.abc import Awaitable, Callable, Sequence

from antiphon.store.run_log import LoggedEvents, Record


class Follower:
    """Reads behind the number `after`. `read` gives events behind a number, `wait` returns when there may be
    more."""

    def __init__(
        self,
        read: Callable[[int], Awaitable[LoggedEvents | None]],
        wait: Callable[[], Awaitable[None]],
        after: int,
        begins: Sequence[bytes] = (),
    ) -> None:
        """`begins`: the first events, where they were just written."""
        self._read = read
        self._wait = wait
        self._after = after
        self._told = (Record(0, begins, b""), False) if begins else None
        """What was written, and whether it was the last."""
        self._ended = False
        self._looks = not begins
        """Whether there may be something that was not told."""

    def tell(self, record: Record, *, ended: bool) -> None:
        """This is durable. One record is kept: of more the first is, and the others are read."""
        if self._told is None:
            self._told = record, ended
        else:
            self._looks = True

    async def more(self) -> LoggedEvents | None:
        """What comes next, as far as it is there: nothing behind what has ended. None: there is no log any
        more. Of what was told, several deltas may stand in one, in lines."""
        told, self._told = self._told, None
        if told is not None and told[0].first == self._after + 1:
            record, self._ended = told
            self._after = record.after - 1
            return LoggedEvents(record.events, self._ended)
        if told is None and not self._looks:
            return LoggedEvents((), self._ended)
        self._looks = False
        found = await self._read(self._after)
        if found is not None:
            self._after += len(found.events)
            self._ended = found.ended
            self._looks = self._looks or bool(found.events)
        return found

    async def wait(self) -> None:
        """Returns when there may be more, or after a moment."""
        if self._told is None:
            await self._wait()
        self._looks = self._looks or self._told is None
