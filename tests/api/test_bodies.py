"""Bodies that are held: how many bytes at once, what comes of compressed ones, and when they are let go."""

import contextlib
import gc
import json
import socket
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.api.asking import JSON_TYPE, fault
from tests.conftest import Running, config_for
from tests.scripted import Answer, Gate, Upstream
from websockets.sync.client import ClientConnection, connect

from antiphon.api import body
from antiphon.api.encoding import unpack
from antiphon.config import Limits, Server
from antiphon.protocol.errors import TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Json = dict[str, Any]
MB = 1024 * 1024
LARGE = {"model": "m", "input": "x" * 60_000, "store": False}
SMALL = {"model": "m", "input": "x", "store": False}
OVERLOADED = (503, "server_error", "server_overloaded", None)


@pytest.fixture
def narrow(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server that holds 100,000 bytes of bodies at once."""
    config = config_for(upstream, tmp_path, Server(verify=True, max_body_bytes=100_000))
    with Running(replace(config, limits=Limits(held_bytes=100_000))) as running:
        yield running


@contextlib.contextmanager
def answering(server: Running, upstream: Upstream) -> Iterator[None]:
    """While the block runs, the server answers a large request."""
    gate = Gate()
    upstream.script(Answer("Hello", gate=gate))
    with httpx2.Client(base_url=server.url) as http:
        asking = threading.Thread(target=http.post, args=["/v1/responses"], kwargs={"json": LARGE})
        asking.start()
        gate.wait_reached()
        yield
        gate.open()
        asking.join()


# ---- the budget --------------------------------------------------------------------------------------


def test_a_body_for_which_there_is_no_room_is_refused_until_there_is(
    narrow: Running, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello")
    with httpx2.Client(base_url=narrow.url) as http:
        with answering(narrow, upstream):
            told = http.post("/v1/responses", json=LARGE)
            assert fault(told) == OVERLOADED
            assert told.headers["retry-after"] == "2"
            assert "held_bytes" in told.text
            assert http.post("/v1/responses", json=SMALL).status_code == 200
        assert http.post("/v1/responses", json=LARGE).status_code == 200


def test_a_compressed_body_needs_the_room_of_what_comes_of_it(narrow: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    packed = zlib.compress(json.dumps(LARGE).encode())
    headers = JSON_TYPE | {"content-encoding": "deflate"}
    with httpx2.Client(base_url=narrow.url, headers=headers) as http:
        with answering(narrow, upstream):
            assert fault(http.post("/v1/responses", content=packed)) == OVERLOADED
        assert http.post("/v1/responses", content=packed[:-9]).status_code == 400
    with answering(narrow, upstream):
        pass


def test_room_is_made_again_by_whatever_ends_a_request(narrow: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    url = httpx2.URL(narrow.url)
    bad = json.dumps(LARGE | {"temperature": 7})
    with httpx2.Client(base_url=narrow.url, headers=JSON_TYPE) as http:
        for _ in range(4):
            assert http.post("/v1/responses", content=bad).status_code == 400
            assert http.post("/v1/responses", content=b"x" * 150_000).status_code == 413
            with http.stream("POST", "/v1/responses", json=LARGE | {"stream": True}):
                pass
            with socket.create_connection((url.host, url.port)) as connection:
                connection.sendall(
                    b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 90000\r\n\r\n" + b" " * 80_000
                )
            until(lambda: http.post("/v1/responses", json=LARGE).status_code == 200)


def until(holds: Any) -> None:
    """Waits for what comes about soon, by asking."""
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return
        pause.wait(0.02)
    pytest.fail("it has not come about")


def frames(socket: ClientConnection, terminal: str) -> list[Json]:
    found: list[Json] = []
    while not found or found[-1]["type"] != terminal:
        found.append(json.loads(socket.recv(timeout=60)))
    return found


def test_frames_that_wait_need_room_as_well(narrow: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    text = json.dumps({"type": "response.create", **LARGE})
    with connect(narrow.url.replace("http", "ws") + "/v1/responses") as socket:
        with answering(narrow, upstream):
            socket.send(text)
            (refusal,) = frames(socket, "error")
            assert (refusal["status"], refusal["error"]["code"]) == (503, "server_overloaded")
        for _ in range(3):
            socket.send(text)
            assert frames(socket, "response.completed")
    with answering(narrow, upstream):
        pass


# ---- what comes of compressed bodies -----------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "zstd, zstd"])
def test_much_that_comes_of_little_is_refused(http: httpx2.Client, encoding: str) -> None:
    packed = json.dumps(SMALL).encode() + b" " * 60 * MB
    for name in encoding.split(", "):
        packed = zstd.compress(packed) if name == "zstd" else zlib.compress(packed)

    told = http.post("/v1/responses", content=packed, headers=JSON_TYPE | {"content-encoding": encoding})

    assert fault(told) == (413, "invalid_request_error", "request_too_large", None)


@pytest.mark.parametrize("pack", [zstd.compress, zlib.compress], ids=["zstd", "deflate"])
def test_no_more_is_unpacked_than_may_come_of_a_body(pack: Any) -> None:
    packed = pack(b" " * 60 * MB)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unpack(packed, "zstd" if pack is zstd.compress else "deflate", MB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MB


def test_text_that_repeats_itself_is_read(http: httpx2.Client) -> None:
    lines = "".join(f"{number}: the quick brown fox jumps over the lazy dog\n" for number in range(60_000))
    packed = zstd.compress(json.dumps(SMALL | {"input": lines, "temperature": 7}).encode())
    assert len(lines) > 3_000_000
    assert len(packed) < MB

    told = http.post("/v1/responses", content=packed, headers=JSON_TYPE | {"content-encoding": "zstd"})

    assert fault(told)[3] == "temperature"


def test_a_window_that_is_too_large_is_refused(http: httpx2.Client) -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(json.dumps(SMALL).encode()) + compressor.flush()

    told = http.post("/v1/responses", content=packed, headers=JSON_TYPE | {"content-encoding": "zstd"})

    assert told.status_code == 400


def test_a_body_that_is_packed_without_end_is_refused(http: httpx2.Client) -> None:
    headers = JSON_TYPE | {"content-encoding": ", ".join(["gzip"] * 50)}

    assert http.post("/v1/responses", content=b"x", headers=headers).status_code == 400


# ---- clients that do not finish ----------------------------------------------------------------------


def test_a_body_that_takes_too_long_in_all_is_given_up(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.2)
    url = httpx2.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 90000\r\n\r\n{"
        )
        said = connection.recv(1000)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in said


def test_a_client_that_breaks_off_its_body_is_no_fault_of_the_server(
    server: Running, http: httpx2.Client
) -> None:
    url = httpx2.URL(server.url)
    with capture_logs() as logs:
        for path in (b"/v1/responses", b"/v1/conversations", b"/v1/responses/input_tokens"):
            with socket.create_connection((url.host, url.port)) as connection:
                connection.sendall(
                    b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 90000\r\n\r\n{" % path
                )
        gone = 'antiphon_http_requests_total{method="POST",route="/v1/responses/input_tokens",status="gone"}'
        until(lambda: gone in http.get("/metrics").text)
    assert logs == []


# ---- memory ------------------------------------------------------------------------------------------


def test_what_a_refused_body_held_goes_back_at_once(http: httpx2.Client) -> None:
    bodies = [
        b'{"model":"m","inputs":"%b"}' % (b"x" * 8 * MB),
        b'{"model":"m","input":[%b]}' % (b"{}," * 90_000),
    ]
    for refused in bodies:
        http.post("/v1/responses", content=refused, headers=JSON_TYPE)
        gc.disable()  # what is in cycles is not gone
        tracemalloc.start()
        try:
            for _ in range(3):
                told = http.post("/v1/responses", content=refused, headers=JSON_TYPE)
                assert told.status_code == 400
            until(lambda: tracemalloc.get_traced_memory()[0] < 2 * MB)
        finally:
            tracemalloc.stop()
            gc.enable()
