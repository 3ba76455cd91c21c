"""`python -m tests.chaos`: a server that is killed again and again, and what its clients make of it."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.chaos.chaos import Chaos
from tests.chaos.clients import KINDS
from tests.chaos.indexing import index_through_deaths
from tests.killed import Killed
from tests.scripted import Upstream


def main() -> int:
    arguments = _arguments()
    home = Path(tempfile.mkdtemp(prefix="antiphon-chaos-"))
    if arguments.files:
        return _index(home, arguments.files)
    size = f"{arguments.workers} workers, {arguments.clients} clients, {arguments.seconds:g} s"
    print(f"chaos      seed {arguments.seed}, {size}", flush=True)
    chaos = Chaos(
        home=home,
        seconds=arguments.seconds,
        seed=arguments.seed,
        workers=arguments.workers,
        clients=arguments.clients,
        every=arguments.every,
        settle=arguments.settle,
        keep_alive=arguments.keep_alive,
        kinds=tuple(arguments.kinds),
        store=arguments.store,
    )
    right = asyncio.run(chaos.run())
    if right and not arguments.keep:
        shutil.rmtree(home)
    return 0 if right else 1


def _index(home: Path, files: int) -> int:
    """Files in one batch, and nothing else."""
    with Upstream() as upstream:
        server = Killed(home, upstream)
        server.start()
        try:
            outcome = index_through_deaths(server, files)
        finally:
            server.kill()
    shutil.rmtree(home)
    print(
        f"indexing   {outcome.files} files in {outcome.seconds:.1f} s, killed when {outcome.killed_at} were "
        f"indexed; counts right at {outcome.looks} looks, each file indexed once"
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the chaos lasts [60]")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000), help="of all chance")
    parser.add_argument("--workers", type=int, default=2, help="server processes [2]")
    stores = ("sqlite", "postgres")
    parser.add_argument("--store", choices=stores, default="sqlite", help="where all is kept [sqlite]")
    parser.add_argument("--clients", type=int, default=30, help="at the same time [30]")
    parser.add_argument("--every", type=float, default=3, help="seconds between kills, in the mean [3]")
    parser.add_argument("--settle", type=float, default=60, help="seconds until all must have ended [60]")
    parser.add_argument("--keep-alive", type=float, default=15, help="the server's setting [15]")
    parser.add_argument("--keep", action="store_true", help="keep data and logs even if all is well")
    parser.add_argument("--files", type=int, help="index so many in one batch, killed twice, and no more")
    kinds = tuple(KINDS)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="of clients [all]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
