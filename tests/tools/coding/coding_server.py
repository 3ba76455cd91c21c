"""`antiphon`, whose server runs code on a workbench: what a test kills."""

import os
from pathlib import Path
from typing import Any

from tests.tools.coding.workbench import Workbench

from antiphon.api import opening
from antiphon.cli import main

HOME = "WORKBENCH"
"""The environment variable that names the workbench's folder."""


def on_workbench(_: Any) -> Workbench:
    return Workbench(Path(os.environ[HOME]))


if __name__ == "__main__":
    opening.driver_of = on_workbench  # type: ignore[assignment]
    main()
