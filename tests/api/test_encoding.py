"""Bodies that come compressed."""

import gzip
import sys
import zlib

import httpx2
import msgspec
import pytest
from tests.api.asking import JSON_TYPE
from tests.scripted import Answer, Upstream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = msgspec.json.encode({"model": "m", "input": "hi"})


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("zstd", zstd.compress(BODY)),
        ("identity", BODY),
        ("gzip, zstd", zstd.compress(gzip.compress(BODY, mtime=0))),
    ],
    ids=["gzip", "deflate", "zstd", "identity", "gzip, then zstd"],
)
def test_a_compressed_body_is_read(
    http: httpx2.Client, upstream: Upstream, encoding: str, body: bytes
) -> None:
    upstream.script(Answer("Hello"))
    answer = http.post("/v1/responses", content=body, headers=JSON_TYPE | {"content-encoding": encoding})
    assert answer.json()["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"nonsense", 400),
        ("zstd", b"nonsense", 400),
        ("zstd", zstd.compress(BODY)[:-3], 400),
        ("br", BODY, 400),
        ("zstd", zstd.compress(b" " * (64 * 1024 * 1024 + 1)), 413),
        ("gzip", gzip.compress(b" " * (64 * 1024 * 1024 + 1), mtime=0), 413),
    ],
    ids=["no gzip", "no zstd", "cut off", "unknown", "a zstd bomb", "a gzip bomb"],
)
def test_what_cannot_be_unpacked_is_refused(
    http: httpx2.Client, encoding: str, body: bytes, status: int
) -> None:
    answer = http.post("/v1/responses", content=body, headers=JSON_TYPE | {"content-encoding": encoding})
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
