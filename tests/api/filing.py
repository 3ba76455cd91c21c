"""A server with two projects, for tests of files, and how a File looks on the wire."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, Like, Now
from tests.conftest import Running, checked_client, config_for
from tests.s3 import shared_s3
from tests.scripted import Upstream

from antiphon.config import Blobs, Limits, Server, hash_key

Left = Callable[[], set[str]]

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
def alone(upstream: Upstream, tmp_path: Path, blobs: Blobs) -> Iterator[Running]:
    """A server with nothing in it yet, two projects, and little patience for large files."""
    keys = {"one": hash_key("sk-one"), "two": hash_key("sk-two")}
    config = config_for(upstream, tmp_path, Server(keys=keys))
    with Running(replace(config, limits=Limits(file_bytes=100_000), blobs=blobs)) as running:
        yield running


@pytest.fixture
def one(alone: Running) -> Iterator[OpenAI]:
    with checked_client(alone.url, "sk-one") as client:
        yield client


@pytest.fixture
def two(alone: Running) -> Iterator[OpenAI]:
    with checked_client(alone.url, "sk-two") as client:
        yield client


@pytest.fixture
def left(tmp_path: Path, blobs: Blobs) -> Left:
    """Names the blobs that such a server has kept, whole or not."""
    s3 = shared_s3() if blobs.url else None

    def names() -> set[str]:
        if s3 is not None and blobs.url:
            return s3.names(blobs.url) | s3.incomplete(blobs.url)
        return {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()}

    return names
