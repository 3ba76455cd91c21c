"""Storage that is full or damaged: whoever is refused is told what it is, and what can be done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs
from tests.api.asking import fault
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream
from tests.small_disk import fill, mounted

FULL = (507, "server_error", "storage_full", None)
DAMAGED = (503, "server_error", "storage_damaged", None)
PAGE = 4096
LONG = "x " * 100_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=96) as disk:
        yield disk


@pytest.fixture
def http(upstream: Upstream, disk: Path) -> Iterator[httpx2.Client]:
    upstream.default = Answer("Hello")
    with (
        Running(config_for(upstream, disk / "data")) as server,
        httpx2.Client(base_url=server.url, timeout=30) as http,
    ):
        yield http


def ask(http: httpx2.Client, text: str = LONG, **members: Any) -> httpx2.Response:
    return http.post("/v1/responses", json={"model": "m", "input": text, **members})


def test_what_cannot_be_stored_is_refused_in_words_that_say_why(http: httpx2.Client, disk: Path) -> None:
    stored = ask(http).json()["id"]
    filled = fill(disk)
    until_full(http)
    with capture_logs() as logs:
        for told in (
            ask(http),
            ask(http, background=True),
            http.post("/v1/conversations", json={"items": [{"role": "user", "content": LONG}]}),
            http.post("/v1/files", files={"file": b"x" * 3_000_000}, data={"purpose": "user_data"}),
        ):
            assert fault(told) == FULL
            assert "store" in told.json()["error"]["message"]
        streamed = ask(http, stream=True).text
        assert streamed.rstrip().rpartition("\n")[2].startswith('data: {"type":"error"')
        assert '"code":"storage_full"' in streamed

    assert {line["storage"] for line in logs} == {"full"}
    assert not any("exc_info" in line for line in logs)
    assert http.get(f"/v1/responses/{stored}").status_code == 200
    assert ask(http, store=False).status_code == 200
    filled.unlink()
    assert ask(http).status_code == 200


def test_what_is_stored_on_a_full_disk_can_be_deleted_and_its_room_used(
    http: httpx2.Client, disk: Path
) -> None:
    stored = [ask(http).json()["id"] for _ in range(60)]
    conversation = http.post("/v1/conversations", json={"items": [{"role": "user", "content": LONG}]}).json()
    file = http.post("/v1/files", files={"file": b"x" * 1_000_000}, data={"purpose": "user_data"}).json()
    fill(disk)
    until_full(http)

    for response_id in stored:
        assert http.delete(f"/v1/responses/{response_id}").status_code == 200
        assert http.get(f"/v1/responses/{response_id}").status_code == 404
    assert http.delete(f"/v1/conversations/{conversation['id']}").status_code == 200
    assert http.delete(f"/v1/files/{file['id']}").status_code == 200
    for _ in range(10):
        assert ask(http).status_code == 200


def until_full(http: httpx2.Client) -> None:
    """What is left inside the database's own files is used up as well: five are refused one after another."""
    refused = 0
    for _ in range(200):
        refused = refused + 1 if ask(http).status_code != 200 else 0
        if refused == 5:
            return
    pytest.fail("the disk does not fill")


def damage(database: Path, holding: bytes) -> None:
    """Overwrites the pages that some text stands on."""
    data = database.read_bytes()
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    assert any(holding in page for page in pages)
    database.write_bytes(b"".join(b"\xff" * PAGE if holding in page else page for page in pages))


def test_pages_that_are_damaged_are_called_so(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    with Running(config_for(upstream, tmp_path)) as server, httpx2.Client(base_url=server.url) as http:
        stored = [ask(http).json()["id"] for _ in range(5)]
    damage(tmp_path / "antiphon.db", holding=stored[0].encode())

    with Running(config_for(upstream, tmp_path)) as server, httpx2.Client(base_url=server.url) as http:
        with capture_logs() as logs:
            told = http.get(f"/v1/responses/{stored[0]}")
        assert fault(told) == DAMAGED
        assert "retry-after" in told.headers
        assert [line["storage"] for line in logs] == ["damaged"]
        assert fault(ask(http)) == DAMAGED
        assert ask(http, store=False).status_code == 200
