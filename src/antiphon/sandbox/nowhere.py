"""The driver of a server on which nothing runs."""

from antiphon.sandbox.base import Driver, Sandbox, SandboxUnavailable, Wanted


class Nowhere(Driver):
    """It says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def check(self) -> str | None:
        return self._why

    async def start(self, wanted: Wanted) -> Sandbox:
        raise SandboxUnavailable(self._why)

    async def close(self) -> None:
        pass
