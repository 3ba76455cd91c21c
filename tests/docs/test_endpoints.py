"""Every endpoint of the server stands in the documents."""

import re
from collections.abc import Iterator

import pytest
from scripts.docs.regions import documents
from starlette.routing import Route

from antiphon.api.app import api_routes


def _endpoints() -> Iterator[str]:
    for route in api_routes():
        if isinstance(route, Route):
            path = route.path.removeprefix("/v1")
            yield from (f"{method} {path}" for method in sorted((route.methods or set()) - {"HEAD"}))


def _nameless(text: str) -> str:
    """Placeholders are called one thing in the code and another in the documents."""
    return re.sub(r"\{[^}/]*\}", "{}", text).replace("/v1/", "/")


@pytest.fixture(scope="module")
def told() -> str:
    return _nameless("\n".join(path.read_text(encoding="utf-8") for path in documents()))


@pytest.mark.parametrize("endpoint", sorted(set(_endpoints())))
def test_an_endpoint_is_documented(endpoint: str, told: str) -> None:
    assert f"{_nameless(endpoint)}`" in told
