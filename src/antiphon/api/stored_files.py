"""What requests say of files for vector stores, and how they are shown."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import msgspec
from starlette.requests import Request

from antiphon.api.services import project, services
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.vector_stores import (
    AddFile,
    Attributes,
    ChunkingStrategy,
    ChunkSizes,
    FileCounts,
    LastError,
    StaticChunking,
    VectorStoreFile,
)
from antiphon.protocol.wire import encode
from antiphon.store import vector_batches
from antiphon.store.vector_files import EntryRow, NewEntry

_THEIR_ENDINGS = """
.c .cpp .cs .css .doc .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh .tex .ts .txt"""
_NO_TEXT = """
.png .jpg .jpeg .gif .webp .bmp .ico .tif .tiff .heic .avif .psd .mp3 .wav .ogg .flac .m4a .aac .mp4 .mov .avi
.mkv .webm .zip .gz .bz2 .xz .zst .7z .rar .tar .tgz .exe .dll .so .dylib .bin .iso .dmg .class .jar .pyc .o
.wasm .parquet .sqlite .db .woff .woff2 .ttf .otf"""
_THEIRS = frozenset(_THEIR_ENDINGS.split())
"""Extensions of files that the real API takes."""
_NEVER = frozenset(_NO_TEXT.split())
"""Those of files that have no text to be read."""
_POLL = [(b"openai-poll-after-ms", b"250")]


async def check(request: Request, file_ids: Sequence[str], param: str) -> None:
    """Raises NotFound for files that the project does not have, InvalidRequest for those of other kinds."""
    if not file_ids:
        return
    held = services(request)
    names = await held.store.vector_files.names(project(request), file_ids)
    for file_id in file_ids:
        if file_id not in names:
            raise NotFound(f"No such File object: {file_id}", param=param)
    wrong = refused_endings(names.values(), held.config.tools.file_search.all_files)
    if wrong:
        listed = ", ".join(sorted(wrong))
        raise InvalidRequest(
            f"Files with extensions [{listed}] are not supported for retrieval.",
            param=param,
            code="unsupported_file",
        )


def refused_endings(names: Iterable[str], all_files: bool) -> set[str]:
    """The extensions among those of the names that no file of a vector store may have."""
    endings = {PurePath(name).suffix.lower() for name in names}
    return endings & _NEVER if all_files else endings - _THEIRS


def alike(
    file_ids: Iterable[str], attributes: Attributes | None, chunking: ChunkingStrategy | None
) -> list[NewEntry]:
    """Files that share what is said of them; one that is named twice is one. Raises InvalidRequest."""
    made = entry(AddFile("", attributes, chunking), "chunking_strategy")
    return [msgspec.structs.replace(made, file_id=file_id) for file_id in dict.fromkeys(file_ids)]


def entry(asked: AddFile, path: str = "chunking_strategy") -> NewEntry:
    """`path`: where the request says how it is cut. Raises InvalidRequest."""
    sizes = ChunkSizes()
    if isinstance(asked.chunking_strategy, StaticChunking):
        sizes = asked.chunking_strategy.static
    most = sizes.max_chunk_size_tokens // 2
    if sizes.chunk_overlap_tokens > most:
        raise error_messages.number_out_of_range(
            f"{path}.static.chunk_overlap_tokens", sizes.chunk_overlap_tokens, most, "<=", "integer"
        )
    attributes = encode(asked.attributes or {}).decode()
    return NewEntry(asked.file_id, attributes, sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens)


def shown(row: EntryRow, store_id: str) -> VectorStoreFile:
    """The file object of a store."""
    fault = None if row.error_code is None else LastError(row.error_code, row.error_message or "")
    return VectorStoreFile(
        id=row.file_id,
        usage_bytes=row.usage_bytes,
        created_at=row.created_at,
        vector_store_id=store_id,
        status=row.status,
        last_error=fault,
        chunking_strategy=StaticChunking(ChunkSizes(row.chunk_tokens, row.overlap)),
        attributes=msgspec.Raw(row.attributes.encode()),
    )


def counts(row: vector_batches.FileCounts) -> FileCounts:
    return FileCounts(row.in_progress, row.completed, row.failed, row.cancelled, row.total)


def pace(row: vector_batches.FileCounts) -> list[tuple[bytes, bytes]]:
    """The header that says how soon it is worth while to look again, while there is something to wait for."""
    return _POLL if row.in_progress else []
