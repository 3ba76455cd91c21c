"""Files of vector stores and file batches, over the wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import BadRequestError, NotFoundError, OpenAI
from tests.api.asking import Json, Like, Now
from tests.api.storing import AUTO, HARBOURS, TREES, counted, filled, held, ids, upload
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Upstream

from antiphon.config import Blobs, FileSearchSettings, Tools

pytestmark = pytest.mark.all_blobs
ON_BOTH_HOMES = True
BROKEN_PDF = b"%PDF-1.7\n1 0 obj << nothing >> endobj\ntrailer\n%%EOF"


@covers(
    "endpoint.POST /vector_stores/{vector_store_id}/files",
    "endpoint.GET /vector_stores/{vector_store_id}/files/{file_id}",
)
def test_a_file_is_indexed_after_it_was_added(client: OpenAI, http: httpx2.Client) -> None:
    store, file_id = client.vector_stores.create(), upload(client)
    place = f"/v1/vector_stores/{store.id}/files"

    added = http.post(place, json={"file_id": file_id, "attributes": {"year": 2020, "final": True}})

    attributes = {"year": 2020, "final": True}
    assert added.json() == held(file_id, store.id, attributes=attributes)
    assert added.headers["openai-poll-after-ms"] == "250"
    client.vector_stores.files.poll(file_id, vector_store_id=store.id)
    indexed = http.get(f"{place}/{file_id}")
    assert "openai-poll-after-ms" not in indexed.headers
    assert indexed.json() == held(
        file_id,
        store.id,
        attributes=attributes,
        status="completed",
        usage_bytes=indexed.json()["usage_bytes"],
    )
    assert indexed.json()["usage_bytes"] > len(TREES)


@covers("endpoint.POST /vector_stores/{vector_store_id}/files/{file_id}")
def test_attributes_are_replaced_as_a_whole(client: OpenAI) -> None:
    store, (file_id,) = filled(client, TREES)
    files = client.vector_stores.files

    changed = files.update(file_id, vector_store_id=store.id, attributes={"a": "b"})
    assert changed.attributes == {"a": "b"}
    assert files.update(file_id, vector_store_id=store.id, attributes=None).attributes == {}


@covers("endpoint.GET /vector_stores/{vector_store_id}/files/{file_id}/content")
def test_the_content_of_a_file_is_its_text_once(client: OpenAI, http: httpx2.Client) -> None:
    text = "".join(f"Sentence number {number} says something else. " for number in range(400))
    store, (file_id,) = filled(client, text.encode())

    answer = http.get(f"/v1/vector_stores/{store.id}/files/{file_id}/content").json()

    assert answer | {"data": []} == {
        "object": "vector_store.file_content.page",
        "data": [],
        "has_more": False,
        "next_page": None,
    }
    assert len(answer["data"]) > 1
    assert {part["type"] for part in answer["data"]} == {"text"}
    assert "".join(part["text"] for part in answer["data"]).strip() == text.strip()


@covers("endpoint.DELETE /vector_stores/{vector_store_id}/files/{file_id}")
def test_a_file_that_is_taken_out_is_still_a_file(client: OpenAI, http: httpx2.Client) -> None:
    store, (file_id, other) = filled(client, TREES, HARBOURS)

    deleted = http.delete(f"/v1/vector_stores/{store.id}/files/{file_id}").json()

    assert deleted == {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}
    assert client.files.retrieve(file_id).id == file_id
    assert ids(client.vector_stores.files.list(store.id)) == [other]
    with pytest.raises(
        NotFoundError, match=f"No file found with id '{file_id}' in vector store '{store.id}'"
    ):
        client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)


def test_a_deleted_file_is_in_no_store_any_more(client: OpenAI) -> None:
    store, (file_id, other) = filled(client, TREES, HARBOURS)

    client.files.delete(file_id)

    assert ids(client.vector_stores.files.list(store.id)) == [other]
    assert client.vector_stores.retrieve(store.id).file_counts.to_dict() == counted(completed=1)


@covers("endpoint.GET /vector_stores/{vector_store_id}/files")
def test_files_are_listed_by_how_far_they_are(client: OpenAI) -> None:
    store, (first, failed, last) = filled(client, TREES, BROKEN_PDF, HARBOURS)
    files = client.vector_stores.files

    assert ids(files.list(store.id, limit=1)) == [last, failed, first]
    assert ids(files.list(store.id, order="asc", after=first)) == [failed, last]
    assert ids(files.list(store.id, before=first, limit=1).data) == [failed]
    assert ids(files.list(store.id, filter="completed")) == [last, first]
    assert ids(files.list(store.id, filter="failed")) == [failed]
    assert ids(files.list(store.id, filter="in_progress")) == []
    with pytest.raises(BadRequestError):
        files.list(store.id, filter="lost")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99}}},
         "chunking_strategy.static.max_chunk_size_tokens", "integer_below_min_value"),
        ({"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100,
                                                              "chunk_overlap_tokens": 51}}},
         "chunking_strategy.static.chunk_overlap_tokens", "integer_above_max_value"),
        ({"chunking_strategy": {"type": "other"}}, "chunking_strategy.type", "invalid_value"),
        ({"attributes": {"a": "x" * 513}}, "attributes.a", "string_above_max_length"),
        ({"attributes": {str(n): n for n in range(17)}}, "attributes", "object_above_max_properties"),
        ({"attributes": {"a": [1]}}, "attributes.a", "invalid_type"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    client: OpenAI, http: httpx2.Client, body: Json, param: str, code: str
) -> None:
    store = client.vector_stores.create()
    answer = http.post(f"/v1/vector_stores/{store.id}/files", json={"file_id": upload(client)} | body)
    fault = answer.json()["error"]
    assert (answer.status_code, fault["param"], fault["code"]) == (400, param, code)


def test_a_file_that_is_not_there_is_not_found(client: OpenAI) -> None:
    store = client.vector_stores.create()
    with pytest.raises(NotFoundError, match="No such File object: file-none"):
        client.vector_stores.files.create(store.id, file_id="file-none")
    with pytest.raises(NotFoundError, match="No such File object: file-none"):
        client.vector_stores.file_batches.create(store.id, file_ids=[upload(client), "file-none"])
    with pytest.raises(NotFoundError, match="No vector store found"):
        client.vector_stores.files.create("vs_none", file_id=upload(client))
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0


# ---- kinds of files ---------------------------------------------------------------------------------


def test_what_has_no_text_is_refused_at_once(client: OpenAI, http: httpx2.Client) -> None:
    store = client.vector_stores.create()
    body = {"file_ids": [upload(client), upload(client, b"\x89PNG", "a.PNG")]}

    answer = http.post(f"/v1/vector_stores/{store.id}/file_batches", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Files with extensions [.png] are not supported for retrieval.",
        "type": "invalid_request_error",
        "param": "file_ids",
        "code": "unsupported_file",
    }


@pytest.fixture
def strict(upstream: Upstream, tmp_path: Path, blobs: Blobs) -> Iterator[OpenAI]:
    """A server that takes what the real API takes."""
    tools = Tools(file_search=FileSearchSettings(all_files=False))
    config = replace(config_for(upstream, tmp_path), tools=tools, blobs=blobs)
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def test_a_server_may_take_what_the_real_api_takes_alone(strict: OpenAI, client: OpenAI) -> None:
    csv = b"name,age\nAda,36\n"
    store = strict.vector_stores.create()
    with pytest.raises(BadRequestError, match=r"extensions \[\.csv\] are not supported"):
        strict.vector_stores.files.create(store.id, file_id=upload(strict, csv, "a.csv"))

    taken, (file_id,) = client.vector_stores.create(), [upload(client, csv, "a.csv")]
    file = client.vector_stores.files.create_and_poll(file_id, vector_store_id=taken.id)
    assert file.status == "completed"


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b" \n\n ", "blank.txt", "invalid_file"),
        (BROKEN_PDF, "broken.pdf", "invalid_file"),
        (b"PK\x03\x04 and no archive", "broken.docx", "invalid_file"),
        (b"\x00\x01\x02" * 1000, "binary.txt", "unsupported_file"),
        (b"text" * 20_000 + b"\x00", "nearly.txt", "unsupported_file"),
        (b"x " * (21 * 2**20), "long.txt", "invalid_file"),
    ],
)
def test_a_file_that_cannot_be_read_fails_in_words(
    client: OpenAI, content: bytes, name: str, code: str
) -> None:
    store, file_id = client.vector_stores.create(), upload(client, content, name)

    file = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id)

    assert (file.status, file.usage_bytes) == ("failed", 0)
    assert file.last_error is not None
    assert file.last_error.code == code
    assert file.last_error.message.startswith("The file")
    assert client.vector_stores.retrieve(store.id).file_counts.to_dict() == counted(failed=1)
    assert client.vector_stores.search(store.id, query="text").data == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_texts_in_many_encodings_are_read(client: OpenAI, encoding: str) -> None:
    text = "Die Eiche ist ein Baum, der tausend Jahre alt wird. Süße Äpfel wachsen woanders."
    store, (file_id,) = filled(client, text.encode(encoding))

    (part,) = client.vector_stores.files.content(file_id, vector_store_id=store.id).data

    assert part.text == text


def test_a_web_page_is_read_without_its_markup(client: OpenAI) -> None:
    store, file_id = (
        client.vector_stores.create(),
        upload(
            client, b"<!doctype html><html><body><h1>Oaks</h1><p>They are old.</p></body></html>", "a.html"
        ),
    )
    client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id)

    (part,) = client.vector_stores.files.content(file_id, vector_store_id=store.id).data

    assert "They are old." in (part.text or "")
    assert "<p>" not in (part.text or "")


# ---- batches ----------------------------------------------------------------------------------------


@covers(
    "endpoint.POST /vector_stores/{vector_store_id}/file_batches",
    "endpoint.GET /vector_stores/{vector_store_id}/file_batches/{batch_id}",
)
def test_a_batch_counts_its_files(client: OpenAI, http: httpx2.Client) -> None:
    store = client.vector_stores.create()
    good, bad = upload(client), upload(client, BROKEN_PDF, "broken.pdf")
    place = f"/v1/vector_stores/{store.id}/file_batches"

    made = http.post(place, json={"file_ids": [good, bad, good], "attributes": {"a": 1}})

    batch = {
        "id": Like("vsfb_[0-9a-f]{32}"),
        "object": "vector_store.files_batch",
        "created_at": Now(),
        "vector_store_id": store.id,
        "status": "in_progress",
        "file_counts": counted(in_progress=2),
    }
    assert made.json() == batch
    assert made.headers["openai-poll-after-ms"] == "250"
    client.vector_stores.file_batches.poll(made.json()["id"], vector_store_id=store.id)
    ended = http.get(f"{place}/{made.json()['id']}").json()
    assert ended == batch | {"status": "completed", "file_counts": counted(completed=1, failed=1)}
    assert client.vector_stores.files.retrieve(bad, vector_store_id=store.id).attributes == {"a": 1}


def test_files_of_a_batch_may_each_have_their_own(client: OpenAI) -> None:
    store, first, second = client.vector_stores.create(), upload(client), upload(client, HARBOURS, "h.txt")
    small: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}

    client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {"file_id": first, "attributes": {"n": 1}},
            {"file_id": second, "attributes": {"n": 2}, "chunking_strategy": small},
        ],
    )

    found = {file.id: file for file in client.vector_stores.files.list(store.id)}
    assert [found[file_id].attributes for file_id in (first, second)] == [{"n": 1}, {"n": 2}]
    assert [found[file_id].to_dict()["chunking_strategy"] for file_id in (first, second)] == [AUTO, small]


@covers("endpoint.GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files")
def test_a_batch_lists_its_files_alone(client: OpenAI) -> None:
    store, _ = filled(client, TREES)
    more = [upload(client, HARBOURS, "a.txt"), upload(client, HARBOURS, "b.txt")]
    batches = client.vector_stores.file_batches
    batch = batches.create_and_poll(store.id, file_ids=more)

    listed = batches.list_files(batch.id, vector_store_id=store.id, order="asc", limit=1)

    assert ids(listed) == more
    assert ids(batches.list_files(batch.id, vector_store_id=store.id, filter="failed")) == []


@covers("endpoint.POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel")
def test_a_cancelled_batch_indexes_no_more(client: OpenAI) -> None:
    long = "".join(f"Sentence number {number} says something else. " for number in range(20_000)).encode()
    store, file_id = client.vector_stores.create(), upload(client, long, "long.txt")
    batches = client.vector_stores.file_batches
    batch = batches.create(store.id, file_ids=[file_id])

    cancelled = batches.cancel(batch.id, vector_store_id=store.id)

    assert (cancelled.status, cancelled.file_counts.to_dict()) == ("cancelled", counted(cancelled=1))
    assert client.vector_stores.files.retrieve(file_id, vector_store_id=store.id).status == "cancelled"
    assert client.vector_stores.retrieve(store.id).status == "completed"
    assert client.vector_stores.search(store.id, query="sentence").data == []


@pytest.mark.parametrize("body", [{}, {"file_ids": ["file-a"], "files": [{"file_id": "file-a"}]}])
def test_a_batch_has_files_in_one_of_two_ways(client: OpenAI, http: httpx2.Client, body: Json) -> None:
    store = client.vector_stores.create()
    answer = http.post(f"/v1/vector_stores/{store.id}/file_batches", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file_ids")


def test_a_batch_of_another_store_is_not_found(client: OpenAI, http: httpx2.Client) -> None:
    store, _ = filled(client, TREES)
    batch = client.vector_stores.file_batches.create(store.id, file_ids=[upload(client)])
    other = client.vector_stores.create()
    for method, rest in (("GET", ""), ("POST", "/cancel"), ("GET", "/files")):
        answer = http.request(method, f"/v1/vector_stores/{other.id}/file_batches/{batch.id}{rest}")
        assert answer.status_code == 404
