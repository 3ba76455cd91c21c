"""The attack: a server, everything that is tried on it, and what came of it."""

from collections.abc import Callable, Mapping, Sequence

from tests.attack.damaged_requests import damaged_addresses, damaged_bodies, damaged_frames
from tests.attack.heads import heads
from tests.attack.heavy import heavy
from tests.attack.names import own_names
from tests.attack.opening import opened
from tests.attack.outbound import own_network
from tests.attack.papers import slow_documents
from tests.attack.tenancy import across_projects
from tests.attack.world import Effort, Held, Section, World

SECTIONS: Mapping[str, Section] = {
    "bodies": damaged_bodies,
    "addresses": damaged_addresses,
    "frames": damaged_frames,
    "heads": heads,
    "tenancy": across_projects,
    "outbound": own_network,
    "names": own_names,
    "documents": slow_documents,
    "heavy": heavy,
}
"""Each part of the attack. A new one is a function here."""


async def attack(
    sections: Sequence[str], effort: Effort, seed: int, watch: Callable[[Held], None] = lambda _: None
) -> World:
    """Run sections against a server of their own. `watch` is shown what each dear input does."""
    async with opened(seed) as world:
        world.watch = watch
        for name in sections:
            await SECTIONS[name](world, effort)
    return world
