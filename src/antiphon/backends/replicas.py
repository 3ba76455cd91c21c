"""Several servers with the same models, as one backend.

A turn goes where its prefix was before, because the server has that in its cache: servers are ranked for each
prefix by a hash (all processes rank alike, and nothing has to be remembered), and the first that is well gets
the turn. One that has more to do than its share is passed over by those who come new; where they went instead
is remembered for the turns that follow, which are known by what the first answer began with.

What fails before anything was said goes to the next server: to each at most once. So no client sees an error
that another server could have spared it, and nobody is answered twice.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b

from antiphon.backends.health import CHECK_SECONDS, Asked, Replica
from antiphon.backends.prefixes import Heard, beginning_of, exchange, prefix_of
from antiphon.backends.retry import another_may
from antiphon.model import (
    Backend,
    Capabilities,
    Deltas,
    Model,
    Passthrough,
    Turn,
    has_output,
)
from antiphon.model.backend import common
from antiphon.protocol.errors import ApiError, NotFound, UpstreamError

_REMEMBERED = 10_000
"""Prefixes that are not where their hash says."""


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
        self._clock = clock
        self._patience = patience
        self._elsewhere: OrderedDict[bytes, Replica] = OrderedDict()

    # ---- Backend ------------------------------------------------------------------------------------

    def capabilities(self, model: str) -> Capabilities:
        return common([replica.backend.capabilities(model) for replica in self._well(self._replicas)])

    async def stream(self, turn: Turn) -> Deltas:
        left = list(self._replicas)
        while True:
            replica, heard = self._choose(turn, left)
            left.remove(replica)
            answered = False
            try:
                async with Asked(replica, turn, self._patience) as asked:
                    while asked.due or not answered or heard is not None:
                        batch = await asked.next()
                        answered = answered or has_output(batch)
                        if heard is not None and heard.hears(batch):
                            self._remember(heard.exchange, replica)
                            heard = None
                        pour = yield batch
                    while True:  # nobody else will be asked
                        pour = yield await asked.batches.asend(pour)
            except StopAsyncIteration:
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
        return self._well(self._replicas)[0].backend

    def _well(self, replicas: Sequence[Replica]) -> Sequence[Replica]:
        """Those that should be asked; if none should, the one that may be well soonest."""
        now = self._clock()
        well = [replica for replica in replicas if replica.is_well(now)]
        return well or [min(replicas, key=lambda replica: replica.rest)]

    def _choose(self, turn: Turn, left: Sequence[Replica]) -> tuple[Replica, Heard | None]:
        """Who is asked next; and for one who is not where he belongs, what tells where he is."""
        well = self._well(left)
        if len(well) == 1:
            return well[0], None
        prefix = prefix_of(turn)
        by_rank = partial(_rank, prefix)
        first = min(well, key=by_rank)
        if turn.cache_key is not None:
            return first, None
        if (said := next((m for m in turn.messages if m.role == "assistant"), None)) is not None:
            elsewhere = self._elsewhere.get(exchange(prefix, beginning_of(said)))
            return elsewhere if elsewhere is not None and elsewhere in well else first, None
        busy = sum([replica.in_flight for replica in well])
        share = busy // len(well) + 1
        if first.in_flight < share:
            return first, None
        return next(each for each in sorted(well, key=by_rank) if each.in_flight < share), Heard(prefix)

    def _remember(self, prefix: bytes, replica: Replica) -> None:
        self._elsewhere[prefix] = replica
        self._elsewhere.move_to_end(prefix)
        if len(self._elsewhere) > _REMEMBERED:
            self._elsewhere.popitem(last=False)


def _rank(prefix: bytes, replica: Replica) -> bytes:
    return blake2b(prefix + replica.address, digest_size=8).digest()
