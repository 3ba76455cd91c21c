"""What a server does that was installed without extras: each feature says which one it wants.

Libraries of an extra are hidden from the server's process, as if they had never been installed.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.commands import Run, one_sentence, run
from tests.conftest import checked_client
from tests.docs.reading import ROOT
from tests.killed import Killed
from tests.scripted import Answer, Upstream

__all__ = ["run"]

_HIDING = """
import importlib.machinery as machinery
import json

hidden = set(json.loads({names!r}))
found = machinery.PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else found(name, path, target)

machinery.PathFinder.find_spec = find_spec
"""
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["optional-dependencies"]


def _name(requirement: str) -> str:
    """Of a distribution, as packages_distributions() has it."""
    for end in "[<>=!~; ":
        requirement = requirement.partition(end)[0]
    return requirement.replace("_", "-").lower()


def modules_of(extra: str) -> set[str]:
    """What an extra brings that a server without it lacks."""
    mine = {_name(each) for each in EXTRAS[extra]}
    always = {_name(each) for each in requires("antiphon") or () if "extra ==" not in each}
    assert mine.isdisjoint(always)
    modules = {
        module
        for module, dists in packages_distributions().items()
        if any(_name(each) in mine for each in dists)
    }
    assert modules
    return modules - {"opentelemetry"} | ({"opentelemetry"} if extra == "telemetry" else set())


@pytest.fixture
def hiding(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment of a process that has an extra's libraries not."""

    def hide(extra: str) -> dict[str, str]:
        folder = tmp_path / f"without-{extra}"
        folder.mkdir()
        text = _HIDING.format(names=json.dumps(sorted(modules_of(extra))))
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        return {"PYTHONPATH": str(folder)}

    return hide


Hiding = Callable[[str], dict[str, str]]
WALKED = {"postgres", "programs", "retrieval", "s3", "sandbox", "telemetry", "web"}


def test_every_extra_is_walked_and_one_brings_them_all() -> None:
    assert EXTRAS.keys() == WALKED | {"all"}
    assert EXTRAS["all"] == [f"antiphon[{','.join(sorted(WALKED))}]"]


HERE = ("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1")


def test_postgresql_says_what_it_wants(run: Run, hiding: Hiding) -> None:
    shared = {"ANTIPHON_STORE_URL": "postgresql://me@127.0.0.1:9/x", "SEAL": "A" * 43 + "="}
    shared["ANTIPHON_STORE_SEALING_KEY_ENV"] = "SEAL"

    said = one_sentence(run(*HERE, **shared, **hiding("postgres")))

    assert "pip install 'antiphon[postgres]'" in said


def test_a_bucket_says_what_it_wants(run: Run, hiding: Hiding) -> None:
    said = one_sentence(run(*HERE, ANTIPHON_BLOBS_URL="s3://bucket", **hiding("s3")))

    assert said == "antiphon: s3://bucket needs `pip install 'antiphon[s3]'`.\n"


def test_searching_the_web_says_what_it_wants(run: Run, hiding: Hiding) -> None:
    said = one_sentence(run(*HERE, "--web-search", "duckduckgo", **hiding("web")))

    assert "`pip install 'antiphon[web]'`" in said


@pytest.mark.parametrize(
    ("extra", "subject", "settings"),
    [
        ("retrieval", "search", {}),
        (
            "retrieval",
            "search",
            {"ANTIPHON_EMBEDDINGS_BASE_URL": "http://a", "ANTIPHON_EMBEDDINGS_MODEL": "m"},
        ),
        ("programs", "programs", {}),
        ("sandbox", "sandbox", {}),
        ("telemetry", "telemetry", {"ANTIPHON_TELEMETRY_OTLP_ENDPOINT": "http://127.0.0.1:4318"}),
        ("web", "web", {"ANTIPHON_TOOLS_WEB_SEARCH_ENGINE": "duckduckgo"}),
    ],
)
def test_doctor_says_what_is_wanted(
    run: Run, hiding: Hiding, extra: str, subject: str, settings: dict[str, str]
) -> None:
    said = run("doctor", **settings, **hiding(extra)).stdout

    (about,) = (part for part in said.split("\n") if f"  {subject}: " in part)
    found = said[said.index(about) :].split("\n")[:2]
    assert f"pip install 'antiphon[{extra}]'" in "".join(found)


# ---- a server without all of them -----------------------------------------------------------------------


@pytest.fixture
def bare(upstream: Upstream, tmp_path: Path, hiding: Hiding) -> Iterator[str]:
    """The URL of a server that has none of what extras bring."""
    upstream.default = Answer("Hello.")
    every: set[str] = set().union(*map(modules_of, WALKED))
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        _HIDING.format(names=json.dumps(sorted(every))), encoding="utf-8"
    )
    telling = {"ANTIPHON_TELEMETRY_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with Killed(tmp_path, upstream, settings={"PYTHONPATH": str(folder), **telling}) as server:
        yield server.url
        said = server.stop()
    assert "Traceback" not in said


TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "file_search": ({"type": "file_search", "vector_store_ids": ["vs_1"]}, "antiphon[retrieval]"),
    "code_interpreter": ({"type": "code_interpreter", "container": {"type": "auto"}}, "antiphon[sandbox]"),
    "programmatic_tool_calling": ({"type": "programmatic_tool_calling"}, "antiphon[programs]"),
    "shell": ({"type": "shell", "environment": {"type": "container_auto"}}, "antiphon[sandbox]"),
}


def test_it_serves_and_each_tool_and_endpoint_says_what_it_wants(bare: str) -> None:
    with checked_client(bare) as client, httpx2.Client(base_url=bare, timeout=60) as http:
        assert client.responses.create(model="m", input="Hi").output_text == "Hello."
        for tool, wanted in TOOLS.values():
            body = {"model": "m", "input": "Hi", "tools": [tool]}
            answer = http.post("/v1/responses", json=body)
            assert (answer.status_code, tool["type"] in answer.headers["x-antiphon-warnings"]) == (200, True)
            refused = http.post("/v1/responses", json={**body, "tool_choice": "required"})
            assert refused.status_code == 400
            assert wanted in refused.json()["error"]["message"]

        store = client.vector_stores.create()
        file = client.files.create(file=("a.txt", b"On rivers."), purpose="user_data")
        failed = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assert failed.last_error is not None
        assert "`pip install 'antiphon[retrieval]'`" in failed.last_error.message
        embedded = http.post("/v1/embeddings", json={"model": "all-MiniLM-L6-v2", "input": "x"})
        assert "`pip install 'antiphon[retrieval]'`" in embedded.json()["error"]["message"]
        assert http.get("/dashboard").status_code == 200


def test_a_store_that_was_filled_with_them_says_what_a_search_wants(
    upstream: Upstream, tmp_path: Path, hiding: Hiding
) -> None:
    with Killed(tmp_path, upstream) as server:
        with checked_client(server.url) as client:
            store = client.vector_stores.create()
            file = client.files.create(file=("a.txt", b"On rivers."), purpose="user_data")
            client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        server.stop()

    with Killed(tmp_path, upstream, settings=hiding("retrieval")) as server:
        path = f"{server.url}/v1/vector_stores/{store.id}/search"
        answer = httpx2.post(path, json={"query": "rivers"}, timeout=60)
        assert "`pip install 'antiphon[retrieval]'`" in answer.json()["error"]["message"]
