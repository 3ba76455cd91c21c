"""A server that runs code, for the tests of a file."""

from collections.abc import Iterator

import pytest
from openai import OpenAI
from tests.conftest import Running, checked_client
from tests.scripted import Upstream
from tests.tools.coding.serving import served
from tests.tools.coding.workbench import Workbench


@pytest.fixture(scope="module")
def room(
    _upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Workbench]]:
    with served(_upstream, tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture
def bench(room: tuple[Running, Workbench]) -> Workbench:
    return room[1]


@pytest.fixture
def client(room: tuple[Running, Workbench]) -> Iterator[OpenAI]:
    with checked_client(room[0].url) as client:
        yield client
