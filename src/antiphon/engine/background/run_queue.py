"""Background runs as work: the store keeps them in a queue of their own, with leases."""

from collections.abc import Callable, Mapping, Sequence

from antiphon.store.run_log import Claim
from antiphon.store.runs import Runs


class RunQueue:
    """The runs, for a process that goes by the name `owner`. `is_quiet`: whether it has little to do, so that
    it takes those that wait for that."""

    def __init__(self, runs: Runs, owner: str, is_quiet: Callable[[], bool]) -> None:
        self._runs = runs
        self.owner = owner
        self.is_quiet = is_quiet

    async def claim(self, lease: float) -> Claim | None:
        return await self._runs.claim(self.owner, lease, quiet=self.is_quiet())

    async def claim_run(self, project: str, response_id: str, lease: float) -> Claim | None:
        """This run, if nobody has it."""
        return await self._runs.claim(self.owner, lease, (project, response_id))

    async def renew(self, names: Sequence[str], lease: float) -> None:
        await self._runs.renew(self.owner, lease, names)

    async def owned(self) -> Mapping[str, bool]:
        return await self._runs.owned(self.owner)

    async def release(self) -> None:
        await self._runs.release(self.owner)

    async def leave(self, names: Sequence[str]) -> None:
        await self._runs.leave(self.owner, names)

    async def wait(self, seconds: float) -> None:
        await self._runs.wait_for_queue(seconds)
