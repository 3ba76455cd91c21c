"""A web of a hundred pages on this machine, and a server that searches it."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.scripted import Upstream
from tests.web.search_server import Entry, SearchServer, about
from tests.website import Page, Website

from antiphon.config import Config, Outbound, Tools, WebSearchSettings

SUBJECTS = [f"subject {number}" for number in range(100)]


def html(text: str, title: str = "A page") -> Page:
    body = f"<html><head><title>{title}</title></head><body><nav>Menu</nav><article><h1>{title}</h1>"
    paragraphs = "".join(f"<p>{part}</p>" for part in text.split("\n"))
    return Page(f"{body}{paragraphs}</article></body></html>".encode(), "text/html; charset=utf-8")


@pytest.fixture(scope="module")
def site() -> Iterator[Website]:
    with Website() as site:
        for subject in SUBJECTS:
            name = subject.replace(" ", "-")
            site.pages[f"/{name}"] = html(f"What there is to know of {subject}. " * 8, f"All about {subject}")
        site.pages["/boats"] = html("Boats push water away, and float. " * 20, "Why boats float")
        yield site


@pytest.fixture(scope="module")
def engine(site: Website) -> Iterator[SearchServer]:
    entries = [
        *about(SUBJECTS, site.url),
        Entry(f"{site.url}/boats", "Why boats float", "Boats push water away.", f"{site.url}/b.png"),
    ]
    entries.append(
        Entry(
            "https://ducks.example.com/why",
            "Ducks float",
            "Ducks have oil.",
            "https://ducks.example.com/d.png",
        )
    )
    with SearchServer(entries) as engine:
        yield engine


@pytest.fixture(scope="module")
def configured(_upstream: Upstream, engine: SearchServer, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return replace(
        config_for(_upstream, tmp_path_factory.mktemp("web")),
        tools=Tools(web_search=WebSearchSettings(engine="searxng", url=engine.url)),
        outbound=Outbound(allow_private=True),
    )


@pytest.fixture(scope="module")
def searching(configured: Config) -> Iterator[Running]:
    with Running(configured) as running:
        yield running
