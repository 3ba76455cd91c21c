"""A server that runs code, for the tests of a file."""

from collections.abc import Iterator

import pytest
from openai import OpenAI
from tests.conftest import checked_client
from tests.scripted import Upstream
from tests.tools.coding.serving import Coding, served


@pytest.fixture(scope="module")
def coding(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coding]:
    with served(_upstream, tmp_path_factory.mktemp("data"), memory_mb=4096) as coding:
        yield coding


@pytest.fixture
def client(coding: Coding) -> Iterator[OpenAI]:
    with checked_client(coding.url) as client:
        yield client
