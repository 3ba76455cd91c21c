"""What a project may keep (`stored_bytes` of `[limits]`): over it nothing is added, and all else goes on."""

import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from msgspec.structs import replace
from tests.api.asking import Json, events_of, fault
from tests.api.skilling import folder, zipped
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream
from tests.wire import CheckedTransport, Checker
from websockets.sync.client import connect

from antiphon.config import Limits, Server, hash_key

FULL = (507, "server_error", "storage_quota_exceeded", None)
MOST = 20_000
LONG = "x " * (MOST // 2)
KEYS = {"ours": "sk-ours", "theirs": "sk-theirs"}


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    upstream.default = Answer("Hello")
    keyed = Server(verify=True, keys={project: hash_key(key) for project, key in KEYS.items()})
    config = replace(config_for(upstream, tmp_path, keyed), limits=Limits(stored_bytes=MOST))
    with Running(config) as running:
        yield running


def client(server: Running, project: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {KEYS[project]}"}
    transport = CheckedTransport(Checker())
    return httpx2.Client(base_url=server.url, transport=transport, headers=headers, timeout=30)


@pytest.fixture
def http(server: Running) -> Iterator[httpx2.Client]:
    with client(server, "ours") as http:
        yield http


def ask(http: httpx2.Client, text: str = "Hi", **members: Any) -> httpx2.Response:
    return http.post("/v1/responses", json={"model": "m", "input": text, **members})


def converse(http: httpx2.Client, *texts: str) -> httpx2.Response:
    return http.post(
        "/v1/conversations", json={"items": [{"role": "user", "content": text} for text in texts]}
    )


def file(http: httpx2.Client, size: int) -> httpx2.Response:
    return http.post("/v1/files", files={"file": b"x" * size}, data={"purpose": "user_data"})


def upload(http: httpx2.Client, size: int) -> httpx2.Response:
    about = {"bytes": size, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    return http.post("/v1/uploads", json=about)


def part(http: httpx2.Client, upload_id: str, size: int) -> httpx2.Response:
    return http.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"x" * size})


def stored(http: httpx2.Client, project: str = "ours") -> int:
    """What `/metrics` shows."""
    found = [line for line in http.get("/metrics").text.splitlines() if line.startswith("antiphon_stored")]
    (line,) = found
    name, _, value = line.rpartition(" ")
    assert name == f'antiphon_stored_bytes{{project="{project}"}}'
    return int(float(value))


def container(http: httpx2.Client, **members: Any) -> httpx2.Response:
    return http.post("/v1/containers", json={"name": "work"} | members)


def file_of(http: httpx2.Client, container_id: str, size: int) -> httpx2.Response:
    return http.post(f"/v1/containers/{container_id}/files", files={"file": b"x" * size})


def large_skill() -> Json:
    """The files of one, whose zip is not smaller."""
    return folder() | {"greeting/noise": random.Random(0).randbytes(MOST)}


def inline_skill() -> Json:
    source = {"type": "base64", "media_type": "application/zip"}
    data = b64encode(zipped(large_skill())).decode()
    return {"type": "inline", "name": "greeting", "description": "x", "source": source | {"data": data}}


def skill(http: httpx2.Client, files: Json, place: str = "/v1/skills") -> httpx2.Response:
    return http.post(place, files=[("files[]", (name, data)) for name, data in files.items()])


Write = Callable[[httpx2.Client, Json], httpx2.Response]

WRITES: dict[str, Write] = {
    "a response": lambda http, _: ask(http, LONG),
    "a stream": lambda http, _: ask(http, LONG, stream=True),
    "a background response": lambda http, _: ask(http, LONG, background=True),
    "a conversation": lambda http, _: converse(http, LONG),
    "items of a conversation": lambda http, ids: http.post(
        f"/v1/conversations/{ids['conversation']}/items", json={"items": [{"role": "user", "content": LONG}]}
    ),
    "a prompt": lambda http, _: http.post("/v1/prompts", json={"instructions": LONG}),
    "a version of a prompt": lambda http, ids: http.post(
        f"/v1/prompts/{ids['prompt']}", json={"instructions": LONG}
    ),
    "a file": lambda http, _: file(http, MOST),
    "an upload": lambda http, _: upload(http, MOST),
    "a part of an upload": lambda http, ids: part(http, ids["upload"], MOST),
    "a file of a container": lambda http, ids: file_of(http, ids["container"], MOST),
    "a container with files": lambda http, ids: container(http, file_ids=[ids["large"]]),
    "a file that is copied into a container": lambda http, ids: http.post(
        f"/v1/containers/{ids['container']}/files", json={"file_id": ids["large"]}
    ),
    "a container with a skill": lambda http, _: container(http, skills=[inline_skill()]),
    "a skill": lambda http, _: skill(http, large_skill()),
    "a skill as a zip": lambda http, _: http.post("/v1/skills", files={"files": zipped(large_skill())}),
    "a version of a skill": lambda http, ids: skill(
        http, large_skill(), f"/v1/skills/{ids['skill']}/versions"
    ),
}


def kept(http: httpx2.Client) -> Json:
    """One thing of each kind, by its id."""
    return {
        "response": ask(http).json()["id"],
        "conversation": converse(http, "Hi").json()["id"],
        "prompt": http.post("/v1/prompts", json={"instructions": "Be brief."}).json()["id"],
        "file": file(http, 100).json()["id"],
        "large": file(http, 10_000).json()["id"],
        "upload": upload(http, 100).json()["id"],
        "container": container(http).json()["id"],
        "skill": skill(http, folder()).json()["id"],
    }


def kept_files(data: Path) -> set[str]:
    """The names of all blobs."""
    return {path.name for path in (data / "files").rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", WRITES)
def test_what_a_project_may_not_keep_is_refused_and_leaves_nothing(
    http: httpx2.Client, upstream: Upstream, tmp_path: Path, what: str
) -> None:
    ids = kept(http)
    before, asked, there = stored(http), len(upstream.requests), kept_files(tmp_path)

    told = WRITES[what](http, ids)

    assert fault(told) == FULL
    message = told.json()["error"]["message"]
    assert "stored_bytes of [limits]" in message
    assert f"keeps {before} bytes" in message
    assert stored(http) == before
    assert len(upstream.requests) == asked
    assert kept_files(tmp_path) == there


def fill(http: httpx2.Client) -> list[str]:
    """Conversations until no more is let in."""
    made = []
    while (told := converse(http, "x" * 3_000)).status_code == 200:
        made.append(told.json()["id"])
    assert fault(told) == FULL
    return made


def test_a_project_that_is_full_reads_deletes_and_asks_without_storing(http: httpx2.Client) -> None:
    ids = kept(http)
    made = fill(http)
    item = http.get(f"/v1/conversations/{made[0]}/items").json()["data"][0]

    assert http.get(f"/v1/responses/{ids['response']}").json()["output"][0]["content"][0]["text"] == "Hello"
    assert item["content"][0]["text"] == "x" * 3_000
    assert http.get(f"/v1/files/{ids['file']}/content").content == b"x" * 100
    unstored = ask(http, "y" * 3_000, store=False, previous_response_id=ids["response"])
    assert unstored.json()["status"] == "completed"

    before = stored(http)
    for kind in ("response", "conversation", "prompt", "file", "container", "skill"):
        assert http.delete(f"/v1/{kind}s/{ids[kind]}").status_code == 200
    assert http.delete(f"/v1/conversations/{made[0]}/items/{item['id']}").status_code == 200
    assert stored(http) < before - 3_000
    assert http.delete(f"/v1/conversations/{made[1]}").status_code == 200


def test_there_is_room_again_where_something_was_deleted(http: httpx2.Client) -> None:
    first = [ask(http, "x" * 3_000).json()["id"] for _ in range(4)]
    fill(http)
    assert fault(ask(http, "x" * 3_000)) == FULL
    for response_id in first:
        assert http.delete(f"/v1/responses/{response_id}").status_code == 200
    assert ask(http, "x" * 3_000).status_code == 200


def test_one_project_that_is_full_leaves_another_its_room(server: Running, http: httpx2.Client) -> None:
    fill(http)
    with client(server, "theirs") as theirs:
        assert stored(theirs, "theirs") == 0
        assert ask(theirs, "x" * 3_000).status_code == 200
        assert stored(theirs, "theirs") > 3_000


def ended(http: httpx2.Client, how: str) -> str:
    """The id of a response that is made in one of the ways, and has ended."""
    if how == "stream":
        last = events_of(ask(http, stream=True).content)[-1]
        assert last["type"] == "response.completed"
        return str(last["response"]["id"])
    if how == "background":
        accepted = ask(http, background=True, stream=True).content
        return str(events_of(accepted)[-1]["response"]["id"])
    return str(ask(http).json()["id"])


@pytest.mark.parametrize("how", ["plain", "stream", "background"])
def test_a_response_that_passes_the_bound_while_it_is_made_is_kept_whole(
    http: httpx2.Client, upstream: Upstream, how: str
) -> None:
    upstream.default = Answer(LONG)

    response_id = ended(http, how)

    assert stored(http) > MOST
    read = http.get(f"/v1/responses/{response_id}").json()
    assert (read["status"], read["output"][0]["content"][0]["text"]) == ("completed", LONG)
    assert fault(ask(http)) == FULL


def test_a_frame_that_brings_too_much_is_refused_and_the_connection_stays(server: Running) -> None:
    with connect(
        f"{server.url.replace('http', 'ws')}/v1/responses",
        additional_headers={"authorization": f"Bearer {KEYS['ours']}"},
    ) as socket:
        socket.send(msgspec.json.encode({"type": "response.create", "model": "m", "input": LONG}).decode())
        refused = msgspec.json.decode(socket.recv(10))
        assert (refused["type"], refused["status"]) == ("error", 507)
        assert refused["error"]["code"] == "storage_quota_exceeded"
        frame = {"type": "response.create", "model": "m", "input": LONG, "store": False}
        socket.send(msgspec.json.encode(frame).decode())
        while (event := msgspec.json.decode(socket.recv(10)))["type"] != "response.completed":
            assert event["type"] != "error"


def test_who_is_refused_reads_what_can_be_deleted(http: httpx2.Client) -> None:
    message = ask(http, LONG).json()["error"]["message"]

    for kind in ("responses", "conversations", "prompts", "files", "containers", "skills"):
        assert kind in message


def test_nothing_is_counted_or_refused_unless_it_is_configured(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    with Running(config_for(upstream, tmp_path)) as server, httpx2.Client(base_url=server.url) as http:
        for _ in range(3):
            assert ask(http, LONG).status_code == 200
        assert "antiphon_stored_bytes" not in http.get("/metrics").text


def test_what_was_stored_before_the_bound_was_set_counts(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    config = config_for(upstream, tmp_path)
    with Running(config) as server, httpx2.Client(base_url=server.url) as http:
        first = ask(http, LONG).json()["id"]
    bounded = replace(config, limits=Limits(stored_bytes=MOST))
    with Running(bounded) as server, httpx2.Client(base_url=server.url) as http:
        assert stored(http, "default") > MOST
        assert fault(ask(http)) == FULL
        assert http.delete(f"/v1/responses/{first}").status_code == 200
        assert ask(http).status_code == 200
