"""`antiphon`, whose server runs code on a workbench: what a test kills."""

import os
from pathlib import Path

from tests.tools.coding.workbench import Workbench

from antiphon.api import app
from antiphon.cli import main
from antiphon.config import Config
from antiphon.containers.room import Room
from antiphon.store.container_storage import ContainerStorage

HOME = "WORKBENCH"
"""The environment variable that names the workbench's folder."""


def on_workbench(_config: Config, storage: ContainerStorage) -> Room:
    return Room(storage, Workbench(Path(os.environ[HOME])))


if __name__ == "__main__":
    app._room = on_workbench
    main()
