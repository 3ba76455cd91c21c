"""A server with two projects, for tests of files, and how a File looks on the wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, Like, Now
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream

from antiphon.config import Limits, Server, hash_key

FILE_ID = Like("file-[A-Za-z0-9]{22}")


def filed(**members: Any) -> Json:
    """A File object, as it goes over the wire."""
    return {
        "id": FILE_ID,
        "object": "file",
        "bytes": 5,
        "created_at": Now(),
        "expires_at": None,
        "filename": "a.txt",
        "purpose": "user_data",
        "status": "processed",
        "status_details": None,
    } | members


@pytest.fixture
def alone(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server with nothing in it yet, two projects, and little patience for large files."""
    keys = {"one": hash_key("sk-one"), "two": hash_key("sk-two")}
    config = config_for(upstream, tmp_path, Server(keys=keys))
    with Running(replace(config, limits=Limits(file_bytes=100_000))) as running:
        yield running


@pytest.fixture
def one(alone: Running) -> Iterator[OpenAI]:
    with checked_client(alone.url, "sk-one") as client:
        yield client


@pytest.fixture
def two(alone: Running) -> Iterator[OpenAI]:
    with checked_client(alone.url, "sk-two") as client:
        yield client


def left_on_disk(tmp_path: Path) -> set[str]:
    """The bytes that such a server has kept."""
    return {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()}
