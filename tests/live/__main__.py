"""`python -m tests.live`: the battery against real model servers, with Antiphon in front of them."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kept_model import kept_model
from tests.live import report
from tests.live.battery import SITUATIONS
from tests.live.run import Outcome, run
from tests.live.servers import SERVERS


def main() -> int:
    arguments = _arguments()
    model = kept_model()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="antiphon-live-") as folder:
        for outcome in run(arguments.servers, arguments.situations, model, Path(folder)):
            print(f"{outcome.server:<21}{outcome.situation:<10}{outcome.words}", flush=True)
            outcomes.append(outcome)
    print()
    for line in report.lines(outcomes):
        print(line)
    return 1 if any(outcome.well is False for outcome in outcomes) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    servers, situations = tuple(SERVERS), tuple(SITUATIONS)
    parser.add_argument("--servers", nargs="+", choices=servers, default=servers, help="which [all]")
    parser.add_argument("--situations", nargs="+", choices=situations, default=situations, help="which [all]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
