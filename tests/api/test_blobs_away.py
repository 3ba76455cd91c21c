"""Requests while the S3 that keeps the blobs is away."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from tests.api.asking import Json, fault
from tests.api.skilling import zipped
from tests.conftest import Running, config_for
from tests.s3 import S3
from tests.scripted import Answer, Upstream

from antiphon.config import Blobs

SKILL = b"---\nname: s\ndescription: d\n---\n"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with S3() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def url(s3: S3) -> str:
    return s3.bucket()


@pytest.fixture
def http(upstream: Upstream, tmp_path: Path, url: str) -> Iterator[httpx2.Client]:
    config = replace(config_for(upstream, tmp_path), blobs=Blobs(url=url))
    with Running(config) as running, httpx2.Client(base_url=running.url, timeout=60) as http:
        yield http


def uploaded(http: httpx2.Client) -> httpx2.Response:
    return http.post("/v1/files", files={"file": ("a.txt", b"Hello")}, data={"purpose": "user_data"})


def test_what_touches_a_file_is_told_to_come_again_and_then_it_is_there(
    http: httpx2.Client, upstream: Upstream, s3: S3, url: str
) -> None:
    upstream.default = Answer("Hello")
    file = uploaded(http).json()["id"]
    container = http.post("/v1/containers", json={"name": "work"}).json()["id"]
    upload: Json = {"filename": "a.txt", "purpose": "user_data", "bytes": 5, "mime_type": "text/plain"}
    upload_id = http.post("/v1/uploads", json=upload).json()["id"]
    in_container, copied = {"file": ("b.txt", b"Hi")}, {"file_id": file}
    content = [{"type": "input_file", "file_id": file}]
    asked = {"model": "m", "input": [{"role": "user", "content": content}]}
    s3.stop()

    for answer in (
        uploaded(http),
        http.get(f"/v1/files/{file}/content"),
        http.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"Hello"}),
        http.post(f"/v1/containers/{container}/files", files=in_container),
        http.post(f"/v1/containers/{container}/files", json=copied),
        http.post("/v1/skills", files={"files": ("s.zip", zipped({"s/SKILL.md": SKILL}))}),
        http.post("/v1/responses", json=asked),
    ):
        assert fault(answer) == (503, "server_error", "storage_unavailable", None), answer.text
        assert int(answer.headers["retry-after"]) > 0
    assert http.post("/v1/responses", json={"model": "m", "input": "Hi"}).status_code == 200

    s3.start()
    s3.make(url)
    assert uploaded(http).status_code == 200
