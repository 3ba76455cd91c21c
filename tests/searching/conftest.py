"""A store on every home."""

from pathlib import Path

import pytest
from tests.store.contract.homes import HOMES, Home


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)
