"""Containers over the wire: what they are made of, their files, and their end. What runs in them is tested
with the tools that run it."""

import random
import sqlite3
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from tests.api.asking import Json, Like
from tests.api.filing import Left, alone, left, one, two  # noqa: F401
from tests.api.skilling import container, container_file, folder, zipped
from tests.api.storing import ids, upload
from tests.ledger import case, covers, ids_of

pytestmark = pytest.mark.all_blobs

CONTAINERS = "/v1/containers"
EXPIRED = r"Container is expired\."
SECRET = {"domain": "pypi.org", "name": "TOKEN", "value": "x"}


def made(http: httpx2.Client, **members: Any) -> Json:
    answer = http.post(CONTAINERS, json={"name": "work"} | members)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    fault = answer.json()["error"]
    return (answer.status_code, fault["param"], fault["code"])


def allowing(*domains: str, **members: Any) -> Json:
    return {"network_policy": {"type": "allowlist", "allowed_domains": list(domains)} | members}


@covers("endpoint.POST /containers", "endpoint.GET /containers/{container_id}")
def test_a_container_runs_without_a_network_and_expires_after_twenty_minutes(http: httpx2.Client) -> None:
    new = made(http)

    assert new == container()
    assert http.get(f"{CONTAINERS}/{new['id']}").json() == new | {
        "last_active_at": container()["last_active_at"]
    }


@covers(
    "body.containers.create.name",
    "body.containers.create.expires_after",
    "body.containers.create.memory_limit",
    "body.containers.create.network_policy",
)
def test_a_container_shows_what_it_was_made_with(http: httpx2.Client) -> None:
    asked = {
        "name": "Numbers",
        "expires_after": {"anchor": "last_active_at", "minutes": 5},
        "memory_limit": "1g",
        **allowing("PyPI.org", "files.pythonhosted.org", "pypi.org"),
    }

    domains = ["pypi.org", "files.pythonhosted.org"]
    assert made(http, **asked) == container(
        **asked | allowing(*domains) | {"network_policy": {"type": "allowlist", "allowed_domains": domains}}
    )


@covers("body.containers.create.file_ids")
def test_files_are_mounted_under_their_ids(client: OpenAI, http: httpx2.Client) -> None:
    file_ids = [upload(client, b"1,2\n", "a.csv"), upload(client, b"x", "b.txt")]

    new = client.containers.create(name="work", file_ids=file_ids)
    client.files.delete(file_ids[0])

    files = list(client.containers.files.list(new.id, order="asc"))
    assert [file.path for file in files] == [
        f"/mnt/data/{file_ids[0]}-a.csv",
        f"/mnt/data/{file_ids[1]}-b.txt",
    ]
    assert client.containers.files.content.retrieve(files[0].id, container_id=new.id).read() == b"1,2\n"


@covers("endpoint.GET /containers", *ids_of("query.containers.list"))
def test_containers_are_listed_both_ways_and_by_name(one: OpenAI) -> None:  # noqa: F811
    new = [one.containers.create(name=f"work {number % 2}").id for number in range(5)]

    assert ids(one.containers.list(limit=2)) == new[::-1]
    assert ids(one.containers.list(order="asc")) == new
    assert ids(one.containers.list(after=new[1]).data) == [new[0]]
    assert ids(one.containers.list(name="work 1", order="asc")) == [new[1], new[3]]
    with pytest.raises(NotFoundError):
        one.containers.list(after="cntr_none")


@covers("endpoint.DELETE /containers/{container_id}")
def test_a_deleted_container_is_gone_with_its_files(one: OpenAI, left: Left) -> None:  # noqa: F811
    new = one.containers.create(name="work")
    one.containers.files.create(new.id, file=("a.txt", b"hello"))
    assert len(left()) == 1

    one.containers.delete(new.id)

    assert left() == set()
    with pytest.raises(NotFoundError, match="Container not found"):
        one.containers.retrieve(new.id)
    with pytest.raises(NotFoundError, match="Container not found"):
        one.containers.delete(new.id)


def test_deleting_answers_with_what_was_deleted(http: httpx2.Client) -> None:
    new = made(http)

    deleted = http.delete(f"{CONTAINERS}/{new['id']}").json()

    assert deleted == {"id": new["id"], "object": "container.deleted", "deleted": True}


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"name": None}, (400, "name", "invalid_type")),
        case(
            "error.integer_above_max_value.minutes_of_a_container",
            {"expires_after": {"anchor": "last_active_at", "minutes": 21}},
            (400, "expires_after.minutes", "integer_above_max_value"),
        ),
        (
            {"expires_after": {"anchor": "last_active_at", "minutes": 0}},
            (400, "expires_after.minutes", "integer_below_min_value"),
        ),
        (
            {"expires_after": {"anchor": "created_at", "minutes": 1}},
            (400, "expires_after.anchor", "invalid_value"),
        ),
        ({"memory_limit": "2g"}, (400, "memory_limit", "invalid_value")),
        ({"memory_limit": "64g"}, (400, "memory_limit", "memory_limit_exceeded")),
        ({"file_ids": ["file-none"]}, (404, "file_ids", None)),
        ({"file_ids": ["file-x"] * 51}, (400, "file_ids", "array_above_max_length")),
        ({"files": []}, (400, "files", "unknown_parameter")),
        (allowing(), (400, "network_policy.allowed_domains", "empty_array")),
        ({"skills": [{"type": "skill_reference", "skill_id": "skill_x"}]}, (404, "skills[0].skill_id", None)),
    ],
)
def test_what_does_not_fit_a_container_is_refused(
    http: httpx2.Client, body: Json, refusal: tuple[int, str, str | None]
) -> None:
    assert refused(http.post(CONTAINERS, json={"name": "work"} | body)) == refusal


@pytest.mark.parametrize(
    "domain",
    [
        "https://pypi.org",
        "pypi.org:443",
        "pypi.org/simple",
        "*.pypi.org",
        "127.0.0.1",
        "2130706433",
        "10.1",
        "[::1]",
        "localhost",
        "pypi.org.",
        "user@pypi.org",
        "-a.org",
        "a..org",
        "bücher.de",
        "",
        "a." * 127 + "org",
    ],
)
def test_what_is_no_name_of_a_host_is_refused(http: httpx2.Client, domain: str) -> None:
    answer = http.post(CONTAINERS, json={"name": "work"} | allowing("pypi.org", domain))
    assert refused(answer) == (400, "network_policy.allowed_domains[1]", "invalid_value")


@pytest.mark.parametrize(
    ("secrets", "param", "code"),
    [
        ([], "", "empty_array"),
        ([SECRET, SECRET | {"domain": ""}], "[1].domain", "empty_string"),
        ([SECRET | {"name": ""}], "[0].name", "empty_string"),
        ([SECRET | {"value": ""}], "[0].value", "empty_string"),
        ([SECRET], "", "unsupported_parameter"),
    ],
)
def test_secrets_of_domains_are_refused_with_the_reason(
    http: httpx2.Client, secrets: list[Json], param: str, code: str
) -> None:
    answer = http.post(CONTAINERS, json={"name": "work"} | allowing("pypi.org", domain_secrets=secrets))
    assert refused(answer) == (400, f"network_policy.domain_secrets{param}", code)


def test_an_inline_skill_is_looked_at(http: httpx2.Client) -> None:
    def inline(data: str, name: str = "greeting") -> Json:
        source = {"type": "base64", "media_type": "application/zip", "data": data}
        return {"skills": [{"type": "inline", "name": name, "description": "x", "source": source}]}

    good = b64encode(zipped(folder())).decode()
    made(http, **inline(good))
    where = "skills[0].source.data"
    for body, refusal in (
        (inline("???"), (400, where, "invalid_base64")),
        (inline(b64encode(b"PK no zip").decode()), (400, where, "invalid_skill")),
        (inline(good, name="../x"), (400, "skills[0].name", "invalid_value")),
    ):
        assert refused(http.post(CONTAINERS, json={"name": "work"} | body)) == refusal


@covers("body.containers.create.skills")
def test_a_referenced_skill_has_a_version(client: OpenAI, http: httpx2.Client) -> None:
    skill_id = client.skills.create(files=[(name, data) for name, data in folder().items()]).id

    for version in ("1", 1, "latest", "default", None):
        made(http, skills=[{"type": "skill_reference", "skill_id": skill_id, "version": version}])
    for version in ("2", "newest", "-1", "9" * 30):
        asked = {"type": "skill_reference", "skill_id": skill_id, "version": version}
        answer = http.post(CONTAINERS, json={"name": "work", "skills": [asked]})
        assert refused(answer) == (404, "skills[0].version", None)


# ---- files ------------------------------------------------------------------------------------------


@covers(
    "endpoint.POST /containers/{container_id}/files",
    "body.containers.files.create.file",
    "endpoint.GET /containers/{container_id}/files/{file_id}",
    "endpoint.GET /containers/{container_id}/files/{file_id}/content",
)
def test_a_file_is_put_into_a_container_as_a_form(client: OpenAI, http: httpx2.Client) -> None:
    place = f"{CONTAINERS}/{made(http)['id']}/files"

    file = http.post(place, files={"file": ("a b.txt", b"hello")}).json()

    container_id = place.split("/")[3]
    assert file == container_file(container_id, path=Like("/mnt/data/[0-9a-f]{32}-a b.txt"))
    assert http.get(f"{place}/{file['id']}").json() == file
    content = http.get(f"{place}/{file['id']}/content")
    assert (content.content, content.headers["content-type"]) == (b"hello", "application/octet-stream")
    assert content.headers["x-content-type-options"] == "nosniff"


def test_a_download_that_has_begun_ends_whatever_becomes_of_the_file(http: httpx2.Client) -> None:
    data = random.Random(0).randbytes(20_000_000)
    place = f"{CONTAINERS}/{made(http)['id']}"
    file = http.post(f"{place}/files", files={"file": ("größe.bin", data)}).json()

    with http.stream("GET", f"{place}/files/{file['id']}/content") as download:
        assert download.headers["content-length"] == "20000000"
        assert "gr%C3%B6%C3%9Fe.bin" in download.headers["content-disposition"]
        assert http.delete(place).status_code == 200
        assert download.read() == data


@covers("body.containers.files.create.file_id")
def test_a_file_is_put_into_a_container_by_its_id_once(client: OpenAI, http: httpx2.Client) -> None:
    container_id, file_id = made(http)["id"], upload(client, b"hello", "a.txt")

    file = client.containers.files.create(container_id, file_id=file_id)
    again = client.containers.files.create(container_id, file_id=file_id)

    assert file.to_dict() == container_file(container_id, path=f"/mnt/data/{file_id}-a.txt")
    assert again == file


@covers("endpoint.GET /containers/{container_id}/files", *ids_of("query.containers.files.list"))
def test_files_of_a_container_are_listed_both_ways(client: OpenAI) -> None:
    container_id = client.containers.create(name="work").id
    files = client.containers.files
    new = [files.create(container_id, file=(f"{number}.txt", b"x")).id for number in range(4)]

    assert ids(files.list(container_id, limit=3)) == new[::-1]
    assert ids(files.list(container_id, order="asc")) == new
    assert ids(files.list(container_id, after=new[1]).data) == [new[0]]
    with pytest.raises(NotFoundError):
        files.list(container_id, after="cfile_none")


@covers("endpoint.DELETE /containers/{container_id}/files/{file_id}")
def test_a_deleted_file_is_gone_from_its_container(client: OpenAI, http: httpx2.Client) -> None:
    container_id = client.containers.create(name="work").id
    file_id = client.containers.files.create(container_id, file=("a", b"x")).id
    place = f"{CONTAINERS}/{container_id}/files/{file_id}"

    deleted = http.delete(place).json()

    assert deleted == {"id": file_id, "object": "container.file.deleted", "deleted": True}
    for answer in (http.get(place), http.get(f"{place}/content"), http.delete(place)):
        assert refused(answer) == (404, None, None)
    assert list(client.containers.files.list(container_id)) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\x",
        "/etc/passwd",
        "a\x00b",
        "a\nb",
        "x" * 500 + ".csv",
        "ü" * 300,
        "",
        ".",
        "..",
    ],
)
def test_a_name_leads_nowhere_else(client: OpenAI, name: str) -> None:
    container_id = client.containers.create(name="work").id

    file = client.containers.files.create(container_id, file=(name, b"x", "text/plain"))

    assert file.path == Like("/mnt/data/[0-9a-f]{32}-[^/\\\\]+")
    assert file.path.isprintable()
    assert len(file.path.rpartition("/")[2].encode()) <= 255
    if name.endswith(".csv"):
        assert file.path.endswith(".csv")


def test_what_does_not_fit_a_file_is_refused(http: httpx2.Client, alone: Any) -> None:  # noqa: F811
    place = f"{CONTAINERS}/{made(http)['id']}/files"

    assert refused(http.post(place, json={"file_id": "file-none"})) == (404, "file_id", None)
    assert refused(http.post(place, json={})) == (400, "file_id", "missing_required_parameter")
    assert refused(http.post(place, files={"data": ("a", b"x")})) == (
        400,
        "file",
        "missing_required_parameter",
    )
    form = {"files": {"file": ("a", b"x")}, "data": {"path": "/etc"}}
    assert refused(http.post(place, **form)) == (400, "path", "unknown_parameter")  # type: ignore[arg-type]
    with httpx2.Client(base_url=alone.url, headers={"authorization": "Bearer sk-one"}) as small:
        place = f"{CONTAINERS}/{made(small)['id']}/files"
        large = small.post(place, files={"file": ("a", b"x" * 100_001)})
        assert refused(large) == (413, "file", "file_too_large")


@covers("error.container_not_found")
def test_a_container_that_is_not_there_has_no_files(http: httpx2.Client) -> None:
    place = f"{CONTAINERS}/cntr_none"
    for answer in (
        http.get(place),
        http.get(f"{place}/files"),
        http.post(f"{place}/files", json={"file_id": "file-none"}),
        http.post(f"{place}/files", files={"file": ("a", b"x")}),
        http.get(f"{place}/files/cfile_none"),
        http.get(f"{place}/files/cfile_none/content"),
        http.delete(f"{place}/files/cfile_none"),
    ):
        assert refused(answer) == (404, None, None)
        assert answer.json()["error"]["message"] == "Container not found"
    long = http.get(f"{CONTAINERS}/cntr_{'a' * 60}")
    assert refused(long) == (400, "container_id", "string_above_max_length")


def test_no_project_sees_anothers_container(one: OpenAI, two: OpenAI) -> None:  # noqa: F811
    container_id = one.containers.create(name="work").id
    file_id = one.containers.files.create(container_id, file=("a", b"x")).id
    uploaded = upload(one, b"x", "a.txt")

    assert ids(two.containers.list()) == []
    files = two.containers.files
    for asked in (
        lambda: two.containers.retrieve(container_id),
        lambda: two.containers.delete(container_id),
        lambda: files.list(container_id),
        lambda: files.create(container_id, file=("a", b"x")),
        lambda: files.retrieve(file_id, container_id=container_id),
        lambda: files.content.retrieve(file_id, container_id=container_id),
        lambda: files.delete(file_id, container_id=container_id),
        lambda: files.retrieve(file_id, container_id=two.containers.create(name="mine").id),
        lambda: two.containers.create(name="mine", file_ids=[uploaded]),
    ):
        with pytest.raises(NotFoundError):
            asked()
    assert one.containers.files.retrieve(file_id, container_id=container_id).id == file_id


# ---- expiry -----------------------------------------------------------------------------------------


@covers("error.container_expired")
def test_an_expired_container_keeps_what_it_was_and_nothing_else(one: OpenAI, tmp_path: Path) -> None:  # noqa: F811
    container_id = one.containers.create(name="work").id
    file_id = one.containers.files.create(container_id, file=("a", b"x")).id
    _age(tmp_path, 1201)

    assert one.containers.retrieve(container_id).status == "expired"
    assert [each.status for each in one.containers.list()] == ["expired"]
    files = one.containers.files
    for asked in (
        lambda: files.list(container_id),
        lambda: files.create(container_id, file=("a", b"x")),
        lambda: files.create(container_id, file_id="file-none"),
        lambda: files.retrieve(file_id, container_id=container_id),
        lambda: files.content.retrieve(file_id, container_id=container_id),
        lambda: files.delete(file_id, container_id=container_id),
    ):
        with pytest.raises(BadRequestError, match=EXPIRED) as caught:
            asked()
        assert (caught.value.param, caught.value.code) == (None, None)
    one.containers.delete(container_id)
    assert list(one.containers.list()) == []


def test_whatever_uses_a_container_keeps_it(one: OpenAI, tmp_path: Path) -> None:  # noqa: F811
    container_id = one.containers.create(name="work").id
    _age(tmp_path, 600)

    used = one.containers.retrieve(container_id)

    assert used.last_active_at is not None
    assert used.last_active_at >= used.created_at
    one.containers.files.create(container_id, file=("a", b"x"))
    _age(tmp_path, 1100)
    assert one.containers.retrieve(container_id).status == "running"


def _age(folder_: Path, seconds: int) -> None:
    with sqlite3.connect(folder_ / "antiphon.db") as database:
        database.execute("UPDATE containers SET last_active_at = last_active_at - ?", (seconds,))
    database.close()
