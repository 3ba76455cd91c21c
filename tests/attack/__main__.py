"""`python -m tests.attack`: everything that a hostile client may try, on a server of its own."""

import argparse
import asyncio
import sys
from random import SystemRandom

from tests.attack import report
from tests.attack.attack import SECTIONS, attack
from tests.attack.world import Effort, Held


def main() -> int:
    arguments = _arguments()
    print(f"attack      seed {arguments.seed}: {', '.join(arguments.sections)}", flush=True)
    work = attack(arguments.sections, Effort(arguments.most, arguments.quick), arguments.seed, _print)
    world = asyncio.run(work)
    for line in report.lines(world.record):
        print(line)
    return 1 if world.record.violations else 0


def _print(held: Held) -> None:
    print(report.line(held), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    names = tuple(SECTIONS)
    parser.add_argument("--sections", nargs="+", choices=names, default=names, help="parts of it [all]")
    parser.add_argument("--most", type=int, default=5000, help="inputs that each part may try [5000]")
    parser.add_argument("--quick", action="store_true", help="without dear inputs that take their time")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000), help="of all chance")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
