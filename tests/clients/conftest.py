"""Real clients, installed from their registries at the versions that package-lock.json and pyproject.toml
name, against a real server. Its upstream plays a capable model, and refuses what a real one would refuse.
"""

from pathlib import Path

import pytest
from tests.clients.node import Node

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("clients")


@pytest.fixture(scope="session")
def node() -> Node:
    """Node with its clients."""
    node = Node(HERE)
    node.install()
    return node
