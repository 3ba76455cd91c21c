"""/v1/files: what the official client puts there, and what it gets back."""

from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types import FileObject
from tests.api.asking import Json, fault, refused, whole
from tests.api.filing import Left, alone, filed, left, one, two
from tests.conftest import Running
from tests.ledger import covers
from tests.sdk_types import check

__all__ = ["alone", "left", "one", "two"]

pytestmark = pytest.mark.all_blobs

PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data"]


def form(http: httpx2.Client, **members: Any) -> httpx2.Response:
    return http.post("/v1/files", **members)


# ---- one file ---------------------------------------------------------------------------------------


@covers("endpoint.POST /files", "body.files.create.file", "body.files.create.purpose")
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_file_is_shown_as_the_sdk_knows_it(http: httpx2.Client, purpose: str) -> None:
    told = form(http, data={"purpose": purpose}, files={"file": ("a.txt", b"Hello")}).json()

    expires = None if purpose != "batch" else told["created_at"] + 30 * 86400
    assert told == filed(purpose=purpose, expires_at=expires)
    assert check(told, FileObject) == []


def test_files_for_evals_are_taken_as_the_client_offers_them(client: OpenAI) -> None:
    assert client.files.create(file=("a.txt", b"Hello"), purpose="evals").purpose == "evals"


@covers("endpoint.GET /files/{file_id}")
def test_a_file_is_found_again(client: OpenAI) -> None:
    made = client.files.create(file=("a.txt", b"Hello"), purpose="user_data")

    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id) == made


@covers("endpoint.GET /files/{file_id}/content")
@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
def test_the_bytes_come_back_as_they_went(client: OpenAI, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    made = client.files.create(file=("a.bin", data[:size]), purpose="user_data")

    assert made.bytes == size
    assert client.files.content(made.id).read() == data[:size]


def test_the_bytes_are_a_download_and_no_page(http: httpx2.Client, client: OpenAI) -> None:
    made = client.files.create(file=("a.html", b"<script>"), purpose="user_data")

    answer = http.get(f"/v1/files/{made.id}/content")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="a.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"


@covers("endpoint.DELETE /files/{file_id}")
def test_a_deleted_file_is_gone(client: OpenAI) -> None:
    made = client.files.create(file=("a.txt", b"Hello"), purpose="user_data")

    gone = client.files.delete(made.id)

    assert whole(gone) == {"id": made.id, "object": "file", "deleted": True}
    for again in (client.files.delete, client.files.retrieve, client.files.content):
        with refused(404, None, "id"):
            again(made.id)


@covers("body.files.create.expires_after")
def test_a_file_can_expire(client: OpenAI) -> None:
    expires = {"anchor": "created_at", "seconds": 3600}

    made = client.files.create(file=("a", b"x"), purpose="user_data", expires_after=expires)  # type: ignore[arg-type]

    assert made.expires_at == made.created_at + 3600


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("übung 1.pdf", "übung 1.pdf"),
        ("..", ".."),
        ("", "file"),
        ("a" * 400, "a" * 255),
    ],
)
def test_a_filename_is_kept_without_a_path(http: httpx2.Client, given: str, kept: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nx\r\n--b--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}

    told = form(http, content=body % given.encode(), headers=headers)

    assert told.json()["filename"] == kept
    assert form(http, content=body % given.encode(), headers=headers).status_code == 200
    assert http.get(f"/v1/files/{told.json()['id']}/content").content == b"x"


@pytest.mark.parametrize("boundary", ["x" * 257, "x" * 5000, "", '""'])
def test_a_boundary_that_is_none_is_refused(http: httpx2.Client, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}

    told = form(http, content=f"--{boundary}--", headers=headers)

    assert fault(told) == (400, "invalid_request_error", "invalid_form", None)


def test_fields_may_come_after_the_file(http: httpx2.Client) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nHello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}

    assert form(http, content=body, headers=headers).json() == filed()


# ---- lists ------------------------------------------------------------------------------------------


@covers("endpoint.GET /files", "query.files.list.after", "query.files.list.limit", "query.files.list.order")
def test_a_list_goes_page_by_page_in_either_order(one: OpenAI) -> None:
    made = [one.files.create(file=(f"{n}", b"x"), purpose="user_data").id for n in range(5)]

    assert [file.id for file in one.files.list()] == made[::-1]
    assert [file.id for file in one.files.list(limit=2)] == made[::-1]
    assert [file.id for file in one.files.list(limit=2, order="asc")] == made
    assert [file.id for file in one.files.list(after=made[3])] == made[2::-1]
    page = one.files.with_raw_response.list(limit=2, order="asc").http_response.json()
    assert {name: page[name] for name in ("object", "first_id", "last_id", "has_more")} == {
        "object": "list",
        "first_id": made[0],
        "last_id": made[1],
        "has_more": True,
    }
    assert all(check(file, FileObject) == [] for file in page["data"])


@covers("query.files.list.purpose")
def test_a_list_can_be_of_one_purpose(one: OpenAI) -> None:
    photo = one.files.create(file=("a.png", b"x"), purpose="vision")
    one.files.create(file=("a.txt", b"x"), purpose="user_data")

    assert list(one.files.list(purpose="vision")) == [photo]
    assert list(one.files.list(purpose="batch")) == []


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "integer_below_min_value", "limit"),
        ("limit=10001", "integer_above_max_value", "limit"),
        ("limit=x", "invalid_type", "limit"),
        ("order=up", "invalid_value", "order"),
        ("before=file-1", "unknown_parameter", "before"),
    ],
)
def test_a_wrong_query_is_refused(http: httpx2.Client, query: str, code: str, param: str) -> None:
    assert fault(http.get(f"/v1/files?{query}")) == (400, "invalid_request_error", code, param)


def test_a_cursor_that_is_not_there_is_refused(client: OpenAI) -> None:
    with refused(404, None, "after"):
        client.files.list(after="file-unknown")


# ---- projects ---------------------------------------------------------------------------------------


def test_a_file_is_its_projects_own(one: OpenAI, two: OpenAI) -> None:
    made = one.files.create(file=("a.txt", b"secret"), purpose="user_data")

    assert list(two.files.list()) == []
    for attempt in (two.files.retrieve, two.files.content, two.files.delete):
        with refused(404, None, "id"):
            attempt(made.id)
    assert one.files.content(made.id).read() == b"secret"


# ---- what is refused --------------------------------------------------------------------------------

FILE = {"file": ("a.txt", b"Hello")}


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"files": FILE}, "missing_required_parameter", "purpose"),
        ({"files": FILE, "data": {"purpose": "fun"}}, "invalid_value", "purpose"),
        ({"files": FILE, "data": {"purpose": "vision", "color": "red"}}, "unknown_parameter", "color"),
        (
            {"files": {"other": ("a", b"x")}, "data": {"purpose": "vision"}},
            "missing_required_parameter",
            "file",
        ),
        (
            {"files": FILE, "data": {"purpose": "vision", "expires_after[anchor]": "created_at"}},
            "missing_required_parameter",
            "expires_after.seconds",
        ),
        *(
            (
                {
                    "files": FILE,
                    "data": {
                        "purpose": "vision",
                        "expires_after[anchor]": "created_at",
                        "expires_after[seconds]": seconds,
                    },
                },
                code,
                "expires_after.seconds",
            )
            for seconds, code in (
                ("3599", "integer_below_min_value"),
                ("2592001", "integer_above_max_value"),
                ("soon", "invalid_type"),
                ("9" * 5000, "invalid_type"),
            )
        ),
        (
            {
                "files": FILE,
                "data": {
                    "purpose": "vision",
                    "expires_after[anchor]": "now",
                    "expires_after[seconds]": "3600",
                },
            },
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {"files": FILE, "data": {"purpose": "vision", "expires_after": "1"}},
            "invalid_type",
            "expires_after",
        ),
        ({"json": {"purpose": "vision"}}, "invalid_form", None),
        ({"content": b"", "headers": {"content-type": "multipart/form-data"}}, "invalid_form", None),
        (
            {"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            "invalid_form",
            None,
        ),
        (
            {
                "content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nHel',
                "headers": {"content-type": "multipart/form-data; boundary=b"},
            },
            "invalid_form",
            None,
        ),
        ({"files": FILE, "data": {"purpose": "x" * 100_000}}, "invalid_form", None),
        (
            {"files": [("file", ("a", b"1")), ("file", ("b", b"2"))], "data": {"purpose": "vision"}},
            "invalid_value",
            "file",
        ),
    ],
)
def test_a_wrong_form_is_refused_and_leaves_nothing(
    alone: Running, members: Json, code: str, param: str | None, left: Left
) -> None:
    headers = {"authorization": "Bearer sk-one"} | members.pop("headers", {})
    with httpx2.Client(base_url=alone.url) as http:
        told = form(http, headers=headers, **members)

    assert fault(told) == (400, "invalid_request_error", code, param), told.text
    assert left() == set()


def test_a_file_that_is_too_large_is_refused(one: OpenAI, left: Left) -> None:
    one.files.create(file=("a", b"x" * 100_000), purpose="user_data")

    with refused(413, "file_too_large", "file"):
        one.files.create(file=("a", b"x" * 100_001), purpose="user_data")

    assert len(left()) == 1


@pytest.mark.parametrize("file_id", ["file-unknown", "..", "x" * 5000, "file-%00", "%2e%2e%2fantiphon.db"])
def test_what_is_not_there_is_not_found(http: httpx2.Client, file_id: str) -> None:
    for answer in (
        http.get(f"/v1/files/{file_id}x"),
        http.get(f"/v1/files/{file_id}x/content"),
        http.delete(f"/v1/files/{file_id}x"),
    ):
        assert answer.status_code == 404
