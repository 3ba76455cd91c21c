"""/v1/vector_stores/{id}/files and /v1/vector_stores/{id}/file_batches (endpoints.md section 4)."""

from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing, stored_files
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.api.vector_stores import asked_id, not_found
from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.ids import new_file_batch_id
from antiphon.protocol.vector_stores import AddFile, CreateFileBatch, FileBatch, UpdateFile
from antiphon.protocol.wire import encode
from antiphon.store.vector_batches import BatchRow, FileCounts
from antiphon.store.vector_files import EntryRow, NewEntry, Status


async def create(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}/files"""
    store_id = asked_id(request)
    asked = await parsing.read_as(request, AddFile)
    entry = stored_files.entry(asked)
    held = services(request)
    await _check_store(request, store_id)
    await stored_files.check(request, [asked.file_id], "file_id")
    await held.store.usage.check(project(request))
    if not await held.store.vector_files.add(project(request), store_id, entry):
        raise not_found(store_id)
    held.jobs.wake()
    return _show(await _stored(request, store_id, asked.file_id), store_id)


async def list_files(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}/files"""
    store_id = asked_id(request)
    query = pages.page_query(request.query_params, ("before", "filter"))
    files = services(request).store.vector_files
    page = await files.page(project(request), store_id, query, _status(request))
    if page is None:
        raise not_found(store_id)
    return pages.show_rows(page, lambda row: stored_files.shown(row, store_id))


async def retrieve(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}/files/{file_id}"""
    store_id = asked_id(request)
    return _show(await _stored(request, store_id, request.path_params["file_id"]), store_id)


async def update(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}/files/{file_id}"""
    store_id, file_id = asked_id(request), request.path_params["file_id"]
    asked = await parsing.read_as(request, UpdateFile)
    attributes = encode(asked.attributes or {}).decode()
    files = services(request).store.vector_files
    await files.set_attributes(project(request), store_id, file_id, attributes)
    return _show(await _stored(request, store_id, file_id), store_id)


async def delete(request: Request) -> HttpResponse:
    """DELETE /vector_stores/{id}/files/{file_id}: the file itself stays."""
    store_id, file_id = asked_id(request), request.path_params["file_id"]
    held = services(request)
    if not await held.store.vector_files.remove(project(request), store_id, file_id):
        await _check_store(request, store_id)
        raise _file_not_found(store_id, file_id)
    held.jobs.wake()
    return json({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})


async def content(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}/files/{file_id}/content: the text that was read, in parts that follow each
    other."""
    store_id, file_id = asked_id(request), request.path_params["file_id"]
    texts = await services(request).store.vector_files.texts(project(request), store_id, file_id)
    if texts is None:
        await _check_store(request, store_id)
        raise _file_not_found(store_id, file_id)
    page = {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text} for text in texts],
        "has_more": False,
        "next_page": None,
    }
    return await offload(in_bytes(sum(map(len, texts))), json, page)


# ---- batches ----------------------------------------------------------------------------------------


async def create_batch(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}/file_batches"""
    store_id = asked_id(request)
    entries = _entries(await parsing.read_as(request, CreateFileBatch))
    held = services(request)
    await _check_store(request, store_id)
    await stored_files.check(request, [entry.file_id for entry in entries], "file_ids")
    await held.store.usage.check(project(request))
    batch_id = new_file_batch_id()
    row = await held.store.vector_batches.create(project(request), store_id, batch_id, entries)
    if row is None:
        raise not_found(store_id)
    held.jobs.wake()
    return _show_batch(row, store_id)


async def retrieve_batch(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}/file_batches/{batch_id}"""
    store_id, batch_id = asked_id(request), request.path_params["batch_id"]
    row = await services(request).store.vector_batches.get(project(request), store_id, batch_id)
    return _show_batch(await _batch(request, row), store_id)


async def cancel_batch(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}/file_batches/{batch_id}/cancel"""
    store_id, batch_id = asked_id(request), request.path_params["batch_id"]
    row = await services(request).store.vector_batches.cancel(project(request), store_id, batch_id)
    return _show_batch(await _batch(request, row), store_id)


async def list_batch(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}/file_batches/{batch_id}/files"""
    store_id, batch_id = asked_id(request), request.path_params["batch_id"]
    query = pages.page_query(request.query_params, ("before", "filter"))
    batches = services(request).store.vector_batches
    page = await batches.page(project(request), store_id, batch_id, query, _status(request))
    if page is None:
        await _check_store(request, store_id)
        raise _batch_not_found(store_id, batch_id)
    return pages.show_rows(page, lambda row: stored_files.shown(row, store_id))


def _entries(asked: CreateFileBatch) -> list[NewEntry]:
    """Raises InvalidRequest."""
    if (asked.file_ids is None) == (asked.files is None):
        raise InvalidRequest(
            "Exactly one of 'file_ids' and 'files' must be given.",
            param="file_ids",
            code="missing_required_parameter" if asked.files is None else "mutually_exclusive_parameters",
        )
    if asked.file_ids is not None:
        return stored_files.alike(asked.file_ids, asked.attributes, asked.chunking_strategy)
    entries = (
        stored_files.entry(file, f"files[{index}].chunking_strategy")
        for index, file in enumerate(asked.files or ())
    )
    return list({entry.file_id: entry for entry in entries}.values())


# ---- what is found, and shown -----------------------------------------------------------------------


def _status(request: Request) -> Status | None:
    """Raises InvalidRequest."""
    given = request.query_params.get("filter")
    if given is not None and given not in get_args(Status):
        raise error_messages.wrong_value("filter", given, get_args(Status))
    return cast(Status | None, given)


async def _check_store(request: Request, store_id: str) -> None:
    """Raises NotFound."""
    if await services(request).store.vector_stores.searched(project(request), store_id) is None:
        raise not_found(store_id)


async def _stored(request: Request, store_id: str, file_id: str) -> EntryRow:
    row = await services(request).store.vector_files.get(project(request), store_id, file_id)
    if row is None:
        await _check_store(request, store_id)
        raise _file_not_found(store_id, file_id)
    return row


async def _batch(request: Request, row: BatchRow | None) -> BatchRow:
    if row is None:
        store_id = asked_id(request)
        await _check_store(request, store_id)
        raise _batch_not_found(store_id, request.path_params["batch_id"])
    return row


def _file_not_found(store_id: str, file_id: str) -> NotFound:
    return NotFound(f"No file found with id '{file_id}' in vector store '{store_id}'.")


def _batch_not_found(store_id: str, batch_id: str) -> NotFound:
    return NotFound(f"No file batch found with id '{batch_id}' in vector store '{store_id}'.")


def _show(row: EntryRow, store_id: str) -> HttpResponse:
    waits = FileCounts(in_progress=int(row.status == "in_progress"))
    return json(stored_files.shown(row, store_id), headers=stored_files.pace(waits))


def _show_batch(row: BatchRow, store_id: str) -> HttpResponse:
    batch = FileBatch(
        id=row.id,
        created_at=row.created_at,
        vector_store_id=store_id,
        status="cancelled" if row.cancelled else "in_progress" if row.counts.in_progress else "completed",
        file_counts=stored_files.counts(row.counts),
    )
    return json(batch, headers=stored_files.pace(row.counts))


_ALL = "/v1/vector_stores/{vector_store_id}/files"
_ONE = f"{_ALL}/{{file_id}}"
_BATCHES = "/v1/vector_stores/{vector_store_id}/file_batches"
_BATCH = f"{_BATCHES}/{{batch_id}}"

routes = [
    Route(_ALL, create, methods=["POST"]),
    Route(_ALL, list_files, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/content", content, methods=["GET"]),
    Route(_BATCHES, create_batch, methods=["POST"]),
    Route(_BATCH, retrieve_batch, methods=["GET"]),
    Route(f"{_BATCH}/cancel", cancel_batch, methods=["POST"]),
    Route(f"{_BATCH}/files", list_batch, methods=["GET"]),
]
