"""/v1/uploads: files in parts, through the official client."""

import hashlib
import io
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types import Upload
from openai.types.uploads import UploadPart
from tests.api.asking import Json, Like, Now, fault, refused
from tests.api.filing import Left, alone, filed, left, one, two
from tests.conftest import Running
from tests.ledger import covers, ids_of
from tests.sdk_types import check

__all__ = ["alone", "left", "one", "two"]

pytestmark = pytest.mark.all_blobs

TEXT = b"Hello, world"


def uploaded(**members: Any) -> Json:
    """An Upload object, as it goes over the wire."""
    return {
        "id": Like("upload_[0-9a-f]{50}"),
        "object": "upload",
        "bytes": len(TEXT),
        "created_at": Now(),
        "expires_at": members["created_at"] + 3600 if "created_at" in members else None,
        "filename": "a.txt",
        "purpose": "user_data",
        "status": "pending",
        "file": None,
    } | members


def begin(client: OpenAI, size: int = len(TEXT), **members: Any) -> Upload:
    return client.uploads.create(
        bytes=size, filename="a.txt", mime_type="text/plain", purpose="user_data", **members
    )


def parts(client: OpenAI, upload: Upload, *pieces: bytes) -> list[str]:
    return [client.uploads.parts.create(upload.id, data=piece).id for piece in pieces]


def raw(answer: Any) -> Json:
    """What went over the wire."""
    told: Json = answer.http_response.json()
    return told


@covers("endpoint.POST /uploads", "endpoint.POST /uploads/{upload_id}/parts")
@covers("endpoint.POST /uploads/{upload_id}/complete", *ids_of("body.uploads.parts.create"))
@covers(*ids_of("body.uploads.complete"))
@covers("body.uploads.create.bytes", "body.uploads.create.filename")
@covers("body.uploads.create.mime_type", "body.uploads.create.purpose")
def test_an_upload_becomes_a_file(client: OpenAI) -> None:
    made = raw(
        client.uploads.with_raw_response.create(
            bytes=len(TEXT), filename="a.txt", mime_type="text/plain", purpose="user_data"
        )
    )
    assert made == uploaded(created_at=made["created_at"])
    assert check(made, Upload) == []

    one_, two_ = (
        raw(client.uploads.parts.with_raw_response.create(made["id"], data=piece))
        for piece in (b"Hello, ", b"world")
    )
    assert one_ == {
        "id": Like("part_[0-9a-f]{50}"),
        "object": "upload.part",
        "created_at": Now(),
        "upload_id": made["id"],
    }
    assert check(one_, UploadPart) == []

    done = raw(
        client.uploads.with_raw_response.complete(
            made["id"], part_ids=[one_["id"], two_["id"]], md5=hashlib.md5(TEXT).hexdigest()
        )
    )
    assert done == made | {"status": "completed", "file": filed(bytes=len(TEXT))}
    assert check(done, Upload) == []
    assert client.files.content(done["file"]["id"]).read() == TEXT


def test_parts_are_joined_in_the_order_that_is_named(client: OpenAI) -> None:
    upload = begin(client)
    last, first = parts(client, upload, b"world", b"Hello, ")

    done = client.uploads.complete(upload.id, part_ids=[first, last])

    assert done.file is not None
    assert client.files.content(done.file.id).read() == TEXT


def test_parts_that_are_not_named_are_left_out(client: OpenAI) -> None:
    upload = begin(client)
    first, _, last = parts(client, upload, b"Hello, ", b"never mind", b"world")

    done = client.uploads.complete(upload.id, part_ids=[first, last])

    assert done.file is not None
    assert client.files.content(done.file.id).read() == TEXT


def test_the_clients_own_helper_uploads_in_chunks(client: OpenAI) -> None:
    data = bytes(range(256)) * 10_000

    done = client.uploads.upload_file_chunked(
        file=io.BytesIO(data).getvalue(),
        filename="big.bin",
        bytes=len(data),
        mime_type="application/octet-stream",
        purpose="user_data",
        part_size=1_000_000,
    )

    assert done.file is not None
    assert client.files.content(done.file.id).read() == data


@covers("body.uploads.create.expires_after")
def test_the_file_can_expire(client: OpenAI) -> None:
    upload = begin(client, expires_after={"anchor": "created_at", "seconds": 7200})

    done = client.uploads.complete(upload.id, part_ids=parts(client, upload, TEXT))

    assert done.file is not None
    assert done.file.expires_at == done.file.created_at + 7200


@covers("endpoint.POST /uploads/{upload_id}/cancel")
def test_a_cancelled_upload_takes_nothing_more_and_leaves_nothing(one: OpenAI, left: Left) -> None:
    upload = begin(one)
    (part,) = parts(one, upload, TEXT)

    cancelled = one.uploads.cancel(upload.id)

    assert cancelled == upload.model_copy(update={"status": "cancelled"})
    for attempt in (
        lambda: one.uploads.parts.create(upload.id, data=b"x"),
        lambda: one.uploads.complete(upload.id, part_ids=[part]),
        lambda: one.uploads.cancel(upload.id),
    ):
        with refused(400, "upload_not_pending", "id"):
            attempt()
    assert left() == set()


def test_a_completed_upload_is_closed_and_its_parts_are_gone(one: OpenAI, left: Left) -> None:
    upload = begin(one)
    done = one.uploads.complete(upload.id, part_ids=parts(one, upload, TEXT))

    with refused(400, "upload_not_pending", "id"):
        one.uploads.complete(upload.id, part_ids=["part_1"])
    assert done.file is not None
    assert left() == {done.file.id}


def test_an_upload_is_its_projects_own(one: OpenAI, two: OpenAI) -> None:
    upload = begin(one)
    (part,) = parts(one, upload, TEXT)

    for attempt in (
        lambda: two.uploads.parts.create(upload.id, data=b"x"),
        lambda: two.uploads.complete(upload.id, part_ids=[part]),
        lambda: two.uploads.cancel(upload.id),
    ):
        with refused(404, None, "id"):
            attempt()
    stolen = begin(two)
    with refused(400, "invalid_value", "part_ids[0]"):
        two.uploads.complete(stolen.id, part_ids=[part])


# ---- what is refused --------------------------------------------------------------------------------


def test_parts_that_are_not_what_was_announced_are_refused_and_the_upload_goes_on(client: OpenAI) -> None:
    upload = begin(client)
    (part,) = parts(client, upload, b"Hello, ")

    with refused(400, "invalid_value", "part_ids"):
        client.uploads.complete(upload.id, part_ids=[part])
    with refused(400, "invalid_value", "part_ids[1]"):
        client.uploads.complete(upload.id, part_ids=[part, "part_unknown"])
    with refused(400, "invalid_value", "part_ids[1]"):
        client.uploads.complete(upload.id, part_ids=[part, part])
    with refused(400, "empty_array", "part_ids"):
        client.uploads.complete(upload.id, part_ids=[])
    (rest,) = parts(client, upload, b"world")
    with refused(400, "invalid_value", "md5"):
        client.uploads.complete(upload.id, part_ids=[part, rest], md5="0" * 32)

    assert client.uploads.complete(upload.id, part_ids=[part, rest]).status == "completed"


UPLOAD = {"bytes": 1, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        *(({name: ...}, "missing_required_parameter", name) for name in UPLOAD),
        ({"bytes": 0}, "integer_below_min_value", "bytes"),
        ({"bytes": 8 * 2**30 + 1}, "integer_above_max_value", "bytes"),
        ({"bytes": "1"}, "invalid_type", "bytes"),
        ({"filename": ""}, "empty_string", "filename"),
        ({"purpose": "fun"}, "invalid_value", "purpose"),
        ({"color": "red"}, "unknown_parameter", "color"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 1}},
            "integer_below_min_value",
            "expires_after.seconds",
        ),
    ],
)
def test_a_wrong_upload_is_refused(http: httpx2.Client, members: Json, code: str, param: str) -> None:
    body = {name: value for name, value in (UPLOAD | members).items() if value is not ...}

    assert fault(http.post("/v1/uploads", json=body)) == (400, "invalid_request_error", code, param)


def test_a_part_without_data_is_refused(client: OpenAI, http: httpx2.Client) -> None:
    upload = begin(client)

    told = http.post(f"/v1/uploads/{upload.id}/parts", files={"file": ("a", b"x")})

    assert fault(told) == (400, "invalid_request_error", "missing_required_parameter", "data")


def test_a_part_of_more_than_64_megabytes_is_refused(alone: Running, one: OpenAI) -> None:
    upload = begin(one)

    with refused(413, "file_too_large", "data"):
        one.uploads.parts.create(upload.id, data=b"x" * (64 * 2**20 + 1))
