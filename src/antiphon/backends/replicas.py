"""Several servers with the same models, as one backend.

A turn goes where its prefix was before, because the server has that in its cache: servers are ranked for each
prefix by a hash (all processes rank alike, and nothing has to be remembered), and the first that is well gets
the turn. One that has more to do than its share is passed over by those who come new; where they went instead
is remembered for the turns that follow.

What fails before anything was said goes to the next server: to each at most once. So no client sees an error
that another server could have spared it, and nobody is answered twice.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from hashlib import blake2b
from itertools import islice

from antiphon.backends.health import CHECK_SECONDS, Replica
from antiphon.backends.retry import another_may
from antiphon.model import (
    Backend,
    Capabilities,
    Delta,
    Message,
    Model,
    Part,
    Passthrough,
    TextPart,
    Turn,
    has_output,
)
from antiphon.model.backend import common
from antiphon.protocol.errors import ApiError, NotFound, UpstreamError

_REMEMBERED = 10_000
"""Prefixes that are not where their hash says."""
_LOOKED_AT = 4096
"""Characters of a text that tell prefixes apart, beside its length."""
_PARTS = 64
"""So many of them, as no input may hold the event loop."""


class Replicas(Backend):
    """`servers`: by their addresses, at least one. `patience`: seconds for the first byte of an answer; None:
    as long as the servers' own. `clock` gives seconds."""

    def __init__(
        self,
        servers: Sequence[tuple[str, Backend]],
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = [Replica(where, backend, clock) for where, backend in servers]
        self._patience = patience
        self._elsewhere: OrderedDict[bytes, Replica] = OrderedDict()

    # ---- Backend ------------------------------------------------------------------------------------

    def capabilities(self, model: str) -> Capabilities:
        return common([replica.backend.capabilities(model) for replica in _well(self._replicas)])

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        left = list(self._replicas)
        while True:
            replica = self._choose(turn, left)
            left.remove(replica)
            answered = False
            try:
                async with aclosing(replica.stream(turn, self._patience)) as batches:
                    async for batch in batches:
                        answered = answered or has_output(batch)
                        yield batch
                return
            except ApiError as fault:
                if not another_may(fault):
                    raise
                if not isinstance(fault, NotFound):  # it may be well, and the name of the model wrong
                    replica.failed(fault)
                if answered or not left:
                    raise

    async def models(self) -> Sequence[Model]:
        return await self._first.models()

    async def count_tokens(self, turn: Turn) -> int | None:
        return await self._first.count_tokens(turn)

    async def probe(self) -> str | None:
        """Those that are away are left out, unless all of them are."""
        asked = (replica.backend.probe() for replica in self._replicas)
        found = await asyncio.gather(*asked, return_exceptions=True)
        faults = [fault for fault in found if isinstance(fault, BaseException)]
        if len(faults) == len(found) or not all(isinstance(fault, UpstreamError) for fault in faults):
            raise faults[0]
        return "; ".join(words for words in found if isinstance(words, str)) or None

    async def watch(self) -> None:
        while True:
            await asyncio.gather(*(replica.check() for replica in self._replicas))
            away = [replica for replica in self._replicas if not replica.is_there]
            if len(away) < len(self._replicas):  # else nobody could answer sooner
                for replica in away:
                    replica.release()
            await asyncio.sleep(CHECK_SECONDS)

    def passthrough(self) -> Passthrough | None:
        return self._first.passthrough()

    async def close(self) -> None:
        await asyncio.gather(*(replica.backend.close() for replica in self._replicas))

    # ---- who is asked -------------------------------------------------------------------------------

    @property
    def _first(self) -> Backend:
        """One that is well, for what any of them can say."""
        return _well(self._replicas)[0].backend

    def _choose(self, turn: Turn, left: Sequence[Replica]) -> Replica:
        """Who is asked next."""
        well = _well(left)
        if len(well) == 1:
            return well[0]
        prefix = prefix_of(turn)
        ranked = sorted(well, key=lambda replica: _rank(prefix, replica.where))
        if _continues(turn):
            elsewhere = self._elsewhere.get(prefix)
            return elsewhere if elsewhere in well else ranked[0]
        busy = sum(replica.in_flight for replica in well)
        share = busy // len(well) + 1
        chosen = next(replica for replica in ranked if replica.in_flight < share)
        if chosen is not ranked[0]:
            self._remember(prefix, chosen)
        return chosen

    def _remember(self, prefix: bytes, replica: Replica) -> None:
        self._elsewhere[prefix] = replica
        self._elsewhere.move_to_end(prefix)
        if len(self._elsewhere) > _REMEMBERED:
            self._elsewhere.popitem(last=False)


def prefix_of(turn: Turn) -> bytes:
    """What the turns of a chain or a conversation have in common, so that a server has it in its cache: the
    key that the client gives, or else all up to the first message of the user."""
    found = blake2b(turn.model.encode(), digest_size=16)
    if turn.cache_key is not None:
        found.update(turn.cache_key.encode(errors="replace"))
        return found.digest()
    for role, part in islice(_beginning(turn.messages), _PARTS):
        text = part.text if isinstance(part, TextPart) else type(part).__name__
        found.update(f"{role} {len(text)} {text[:_LOOKED_AT]}".encode(errors="replace"))
    return found.digest()


def _beginning(messages: Iterable[Message]) -> Iterator[tuple[str, Part]]:
    """All parts up to the first message of the user, with their roles."""
    for message in messages:
        for part in message.parts:
            yield message.role, part
        if message.role == "user":
            return


def _continues(turn: Turn) -> bool:
    """Whether some server may have the turn's beginning in its cache."""
    return turn.cache_key is not None or any(message.role == "assistant" for message in turn.messages)


def _rank(prefix: bytes, where: str) -> bytes:
    return blake2b(prefix + where.encode(), digest_size=8).digest()


def _well(replicas: Sequence[Replica]) -> list[Replica]:
    """Those that should be asked; if none should, the one that may be well soonest."""
    well = [replica for replica in replicas if replica.is_well]
    return well or [min(replicas, key=lambda replica: replica.rest)]
