"""What a server does without until somebody needs it: libraries of several megabytes each."""

from pathlib import Path

import httpx2
from tests.scripted import Answer, Upstream
from tests.test_cli import Serve, Served, serve

__all__ = ["serve"]

LIBRARIES = {"aiohttp", "cryptography", "nh3"}


def loaded(server: Served) -> set[str]:
    """Those of them that its process has in memory."""
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    return {name for name in LIBRARIES if f"/site-packages/{name}/" in maps}


def test_libraries_come_when_they_are_needed(serve: Serve, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    with serve("--upstream", upstream.base_url) as server:
        base = server.url.removesuffix("/v1")
        httpx2.post(f"{base}/v1/responses", json={"model": "m", "input": "Hi"}).raise_for_status()
        assert not loaded(server)

        httpx2.get(f"{base}/dashboard", follow_redirects=True).raise_for_status()
        assert loaded(server) == {"nh3"}

        picture = {"type": "input_image", "image_url": "http://127.0.0.1:9/"}
        message = {"role": "user", "content": [picture]}
        httpx2.post(f"{base}/v1/responses", json={"model": "m", "input": [message]})
        assert loaded(server) == {"nh3", "aiohttp"}
