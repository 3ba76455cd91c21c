"""Vector stores over the wire: what they are, how they are listed, and what is found in them."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from tests.api.asking import JSON_TYPE, Json
from tests.api.filing import alone, one, two  # noqa: F401
from tests.api.storing import HARBOURS, STORE_ID, TREES, counted, filled, ids, stored, upload
from tests.ledger import covers

ON_BOTH_HOMES = True
STORES = "/v1/vector_stores"
DAY = 86_400


@covers("endpoint.POST /vector_stores", "endpoint.GET /vector_stores/{vector_store_id}")
def test_a_store_is_empty_and_completed_at_first(http: httpx2.Client) -> None:
    made = http.post(STORES, json={}).json()

    assert made == stored()
    assert http.get(f"{STORES}/{made['id']}").json() == made


def test_a_store_shows_what_it_was_made_with(http: httpx2.Client) -> None:
    asked = {
        "name": "Docs",
        "description": "All of them",
        "expires_after": {"anchor": "last_active_at", "days": 7},
        "metadata": {"team": "a"},
    }

    made = http.post(STORES, json=asked).json()

    assert made == stored(**asked, expires_at=made["last_active_at"] + 7 * DAY)


def test_a_store_is_made_with_files(client: OpenAI) -> None:
    file_ids = [upload(client), upload(client, HARBOURS, "harbours.txt")]
    chunking: Any = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}

    store = client.vector_stores.create(file_ids=file_ids, chunking_strategy=chunking)

    assert (store.status, store.file_counts.in_progress) == ("in_progress", 2)
    for file_id in file_ids:
        file = client.vector_stores.files.poll(file_id, vector_store_id=store.id)
        assert file.status == "completed"
        assert file.chunking_strategy is not None
        assert file.chunking_strategy.to_dict() == chunking
    store = client.vector_stores.retrieve(store.id)
    assert (store.status, store.file_counts.to_dict()) == ("completed", counted(completed=2))
    assert store.usage_bytes > 2 * 384


@covers("endpoint.POST /vector_stores/{vector_store_id}")
def test_what_is_not_named_stays_when_a_store_is_changed(http: httpx2.Client) -> None:
    expires = {"anchor": "last_active_at", "days": 1}
    made = http.post(STORES, json={"name": "a", "expires_after": expires, "metadata": {"x": "y"}}).json()
    place = f"{STORES}/{made['id']}"

    renamed = http.post(place, json={"name": "b"}).json()
    kept = http.post(place, json={"expires_after": None, "metadata": None}).json()

    assert renamed == made | {"name": "b", "last_active_at": renamed["last_active_at"]} | {
        "expires_at": renamed["last_active_at"] + DAY
    }
    assert kept == stored(id=made["id"], name="b")


@covers("endpoint.DELETE /vector_stores/{vector_store_id}")
def test_a_deleted_store_keeps_its_files(client: OpenAI, http: httpx2.Client) -> None:
    store, file_ids = filled(client, TREES)

    deleted = http.delete(f"{STORES}/{store.id}").json()

    assert deleted == {"id": store.id, "object": "vector_store.deleted", "deleted": True}
    assert client.files.retrieve(file_ids[0]).id == file_ids[0]
    with pytest.raises(NotFoundError):
        client.vector_stores.search(store.id, query="oak")


@covers("endpoint.GET /vector_stores")
def test_stores_are_listed_both_ways(one: OpenAI) -> None:  # noqa: F811
    made = [one.vector_stores.create(name=str(number)).id for number in range(5)]

    assert ids(one.vector_stores.list(limit=2)) == made[::-1]
    assert ids(one.vector_stores.list(order="asc")) == made
    assert ids(one.vector_stores.list(after=made[1]).data) == [made[0]]
    page = one.vector_stores.list(before=made[1], limit=2)
    assert (ids(page.data), page.has_more) == ([made[3], made[2]], True)


def test_a_cursor_that_is_in_no_list_is_not_found(http: httpx2.Client) -> None:
    answer = http.get(f"{STORES}?after=vs_none")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "after")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (
            {"expires_after": {"anchor": "last_active_at", "days": 366}},
            "expires_after.days",
            "integer_above_max_value",
        ),
        (
            {"expires_after": {"anchor": "created_at", "days": 1}},
            "expires_after.anchor",
            "invalid_value",
        ),
        ({"metadata": {"k" * 65: "v"}}, f"metadata.{'k' * 65}", "property_name_above_max_length"),
        ({"file_ids": ["file-x"] * 501}, "file_ids", "array_above_max_length"),
        ({"chunking_strategy": {"type": "auto"}}, "chunking_strategy", None),
        ({"files": []}, "files", "unknown_parameter"),
    ],
)
def test_what_does_not_fit_is_refused(http: httpx2.Client, body: Json, param: str, code: str | None) -> None:
    answer = http.post(STORES, json=body)
    fault = answer.json()["error"]
    assert (answer.status_code, fault["param"], fault["code"]) == (400, param, code)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_store_that_is_not_there_is_not_found(http: httpx2.Client, method: str) -> None:
    answer = http.request(method, f"{STORES}/vs_none", json={} if method == "POST" else None)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No vector store found with id 'vs_none'."


def test_an_id_that_can_be_none_is_refused(http: httpx2.Client) -> None:
    answer = http.get(f"{STORES}/vs_%24x")
    fault = answer.json()["error"]
    assert (answer.status_code, fault["param"], fault["code"]) == (400, "vector_store_id", "invalid_value")
    assert fault["message"].startswith("Invalid 'vector_store_id': 'vs_$x'.")


def test_no_project_sees_anothers_store(one: OpenAI, two: OpenAI) -> None:  # noqa: F811
    store, file_ids = filled(one, TREES)

    assert ids(two.vector_stores.list()) == []
    for asked in (
        lambda: two.vector_stores.retrieve(store.id),
        lambda: two.vector_stores.delete(store.id),
        lambda: two.vector_stores.search(store.id, query="oak"),
        lambda: two.vector_stores.files.list(store.id),
        lambda: two.vector_stores.files.content(file_ids[0], vector_store_id=store.id),
        lambda: two.vector_stores.files.create(store.id, file_id=file_ids[0]),
    ):
        with pytest.raises(NotFoundError):
            asked()
    mine = two.vector_stores.create()
    with pytest.raises(NotFoundError, match="No such File object"):
        two.vector_stores.files.create(mine.id, file_id=file_ids[0])


def test_a_store_that_nobody_uses_expires(one: OpenAI, tmp_path: Path) -> None:  # noqa: F811
    file_id = upload(one)
    store = one.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
    one.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id)
    with sqlite3.connect(tmp_path / "antiphon.db") as database:
        database.execute("UPDATE vector_stores SET last_active_at = last_active_at - 86401")
    database.close()

    assert one.vector_stores.retrieve(store.id).status == "expired"
    for asked in (
        lambda: one.vector_stores.search(store.id, query="oak"),
        lambda: one.vector_stores.files.create(store.id, file_id=file_id),
        lambda: one.vector_stores.file_batches.create(store.id, file_ids=[file_id]),
        lambda: one.vector_stores.update(store.id, name="again"),
    ):
        with pytest.raises(BadRequestError, match=f"Vector store '{store.id}' has expired"):
            asked()


# ---- searches ---------------------------------------------------------------------------------------


@covers("endpoint.POST /vector_stores/{vector_store_id}/search")
def test_a_search_finds_the_file_that_answers(client: OpenAI, http: httpx2.Client) -> None:
    store, file_ids = filled(client, TREES, HARBOURS)

    found = http.post(f"{STORES}/{store.id}/search", json={"query": "Where are cargo ships emptied?"}).json()

    first = found["data"][0]
    assert found == {
        "object": "vector_store.search_results.page",
        "search_query": ["Where are cargo ships emptied?"],
        "data": found["data"],
        "has_more": False,
        "next_page": None,
    }
    assert first == {
        "file_id": file_ids[1],
        "filename": "file1.md",
        "score": first["score"],
        "attributes": {},
        "content": [{"type": "text", "text": HARBOURS.decode()}],
    }
    assert [each["file_id"] for each in found["data"]] == [file_ids[1], file_ids[0]]
    assert 1 >= first["score"] > found["data"][1]["score"] >= 0


def test_what_any_of_several_queries_finds_is_found(client: OpenAI) -> None:
    store, file_ids = filled(client, TREES, HARBOURS)

    page = client.vector_stores.search(store.id, query=["oak trees", "harbour"], rewrite_query=False)

    assert {found.file_id for found in page.data} == set(file_ids)
    assert page.to_dict()["search_query"] == ["oak trees", "harbour"]


def test_a_search_is_as_narrow_as_it_asks(client: OpenAI) -> None:
    store, file_ids = filled(client, TREES, HARBOURS)

    assert len(client.vector_stores.search(store.id, query="harbour", max_num_results=1).data) == 1
    best = client.vector_stores.search(
        store.id, query="harbour", ranking_options={"ranker": "none", "score_threshold": 0.2}
    )
    assert [found.file_id for found in best.data] == [file_ids[1]]
    none = client.vector_stores.search(store.id, query="harbour", ranking_options={"score_threshold": 1.0})
    assert none.data == []


def test_filters_look_at_attributes(client: OpenAI) -> None:
    store = client.vector_stores.create()
    for year, region in ((2020, "eu"), (2021, "us"), (2022, "eu")):
        client.vector_stores.files.create_and_poll(
            upload(client, b"The oak report of %d." % year, f"{year}.txt"),
            vector_store_id=store.id,
            attributes={"year": year, "region": region, "final": year < 2022},
        )

    def names(filters: Any) -> list[str]:
        page = client.vector_stores.search(store.id, query="oak report", filters=filters)
        return sorted(found.filename for found in page.data)

    eu = {"type": "eq", "key": "region", "value": "eu"}
    late = {"type": "gte", "key": "year", "value": 2021}
    assert names(eu) == ["2020.txt", "2022.txt"]
    assert names({"type": "and", "filters": [eu, late]}) == ["2022.txt"]
    assert names({"type": "or", "filters": [eu, late]}) == ["2020.txt", "2021.txt", "2022.txt"]
    assert names({"type": "in", "key": "year", "value": [2020, 2021]}) == ["2020.txt", "2021.txt"]
    assert names({"type": "eq", "key": "final", "value": True}) == ["2020.txt", "2021.txt"]
    assert names({"type": "eq", "key": "year", "value": "2020"}) == []
    assert names({"type": "ne", "key": "missing", "value": 1}) == ["2020.txt", "2021.txt", "2022.txt"]


def test_an_empty_store_finds_nothing(client: OpenAI) -> None:
    assert client.vector_stores.search(client.vector_stores.create().id, query="oak").data == []


def test_what_was_added_and_taken_out_counts_for_the_next_search(client: OpenAI) -> None:
    store, (first,) = filled(client, TREES)
    assert len(client.vector_stores.search(store.id, query="ships").data) == 1
    second = upload(client, HARBOURS, "harbours.txt")

    client.vector_stores.files.create_and_poll(second, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query="ships").data[0].file_id == second

    client.files.delete(second)
    assert [found.file_id for found in client.vector_stores.search(store.id, query="ships").data] == [first]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": ["oak"] * 33}, "query"),
        ({"query": "oak", "max_num_results": 51}, "max_num_results"),
        ({"query": "oak", "ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
        (
            {"query": "oak", "filters": {"type": "in", "key": "a", "value": list(range(500))}},
            "filters",
        ),
        ({}, "query"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(http: httpx2.Client, body: Json, param: str) -> None:
    store = http.post(STORES, json={}).json()
    answer = http.post(f"{STORES}/{store['id']}/search", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("levels", [33, 400, 550, 700, 5_000])
def test_a_filter_of_endless_levels_is_refused(http: httpx2.Client, levels: int) -> None:
    store = http.post(STORES, json={}).json()
    nested = '{"type":"and","filters":[' * levels + '{"type":"eq","key":"a","value":1}' + "]}" * levels
    answer = http.post(
        f"{STORES}/{store['id']}/search",
        content=f'{{"query":"oak","filters":{nested}}}',
        headers=JSON_TYPE,
    )
    assert answer.status_code == 400


def test_a_search_in_a_store_that_is_not_there_is_not_found(http: httpx2.Client) -> None:
    answer = http.post(f"{STORES}/vs_none/search", json={"query": "oak"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No vector store found with id 'vs_none'."


def test_ids_of_stores_cannot_be_guessed(http: httpx2.Client) -> None:
    made = {http.post(STORES, json={}).json()["id"] for _ in range(3)}
    assert len(made) == 3
    assert all(each == STORE_ID for each in made)
