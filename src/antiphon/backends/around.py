"""What all backends have in common that stand around another one: what they do not do in a way of their own,
that one does."""

from collections.abc import Sequence

from antiphon.model import Backend, Capabilities, Deltas, Model, Passthrough, Turn


class Around(Backend):
    """A backend around another one."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    def capabilities(self, model: str) -> Capabilities:
        return self.inner.capabilities(model)

    def stream(self, turn: Turn) -> Deltas:
        return self.inner.stream(turn)

    async def models(self) -> Sequence[Model]:
        return await self.inner.models()

    async def count_tokens(self, turn: Turn) -> int | None:
        return await self.inner.count_tokens(turn)

    async def check(self) -> None:
        await self.inner.check()

    async def probe(self) -> str | None:
        return await self.inner.probe()

    async def watch(self) -> None:
        await self.inner.watch()

    def passthrough(self) -> Passthrough | None:
        return self.inner.passthrough()

    async def close(self) -> None:
        await self.inner.close()
