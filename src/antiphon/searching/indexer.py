"""Indexing: from a file in a vector store to chunks that are found.

It is durable work (`store/work.py`). Chunks are embedded and written a few at a time; whoever takes over
after a crash reads and cuts the file again, which costs little, and goes on behind the last chunk that was
written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from antiphon.guard.room import Room
from antiphon.retrieval.chunks import Chunk, chunks, title_of
from antiphon.retrieval.documents import Documents, Unreadable, Unsupported
from antiphon.retrieval.embedder import Embedder, EmbedderError, NotInstalled, Vectors, check_installed
from antiphon.retrieval.texts import MOST_TOKENS, TooLarge, read_text
from antiphon.store.errors import OtherVectors, TooMuchStored
from antiphon.store.file_storage import FileStorage
from antiphon.store.store import Store
from antiphon.store.vector_chunks import AT_ONCE, FORGET, PURGE, NewChunk
from antiphon.store.vector_files import INDEX, index_with
from antiphon.store.vector_index import Begun, ErrorCode, Slice
from antiphon.store.work import ClaimedJob

if TYPE_CHECKING:
    from antiphon.retrieval.packing import Packed

log = structlog.get_logger()

_SLICE = 16
"""Chunks that are embedded and written together."""
_HELD = 128 * 2**20
"""Bytes of files whose texts are in memory at once. Each is there until it is indexed; one that would be too
much waits."""
ATTEMPTS = 3
"""So often is tried what may work another time."""
BEGUN = 20
"""A file that was begun so often and never ended takes the process with it."""


class _Lost(Exception):
    """The file was taken out meanwhile, or another process has taken over."""


class Indexer:
    """Does the jobs of vector stores."""

    def __init__(self, store: Store, files: FileStorage, documents: Documents, embedder: Embedder) -> None:
        self._embedder = embedder
        self.handlers: Mapping[str, Callable[[ClaimedJob], Awaitable[None]]] = {
            INDEX: self.index,
            index_with(embedder.name): self.index,
            PURGE: self.purge,
            FORGET: self.forget,
        }
        """What it does, by the kinds of jobs."""
        self._index = store.vector_index
        self._chunks = store.vector_chunks
        self._usage = store.usage
        self._files = files
        self._documents = documents
        self._room = Room(_HELD)

    async def index(self, job: ClaimedJob) -> None:
        """Index the file of an entry. What cannot be mended fails in words; what may pass is raised, and so
        tried again."""
        entry = int(job.payload)
        try:
            begun = await self._index.begin(job, entry, self._embedder.name)
            if begun is not None:
                await self._indexed(job, entry, begun)
        except _Lost:
            return
        except Exception as error:
            code, words = _said(error, last=job.attempts >= ATTEMPTS)
            if code is None:
                raise
            await self._index.fail(job, entry, code, words)

    async def purge(self, job: ClaimedJob) -> None:
        """Delete the chunks of entries that are gone."""
        entries = msgspec.json.decode(job.payload, type=list[int])
        for first in range(0, len(entries), AT_ONCE):
            while await self._chunks.purge(job.project or "", entries[first : first + AT_ONCE]):
                pass

    async def forget(self, job: ClaimedJob) -> None:
        """Write anew what still has words of deleted texts."""
        while await self._chunks.forget(job.project or ""):
            pass

    async def _indexed(self, job: ClaimedJob, entry: int, begun: Begun) -> None:
        if job.attempts > BEGUN:
            raise Unreadable("it was begun too often without an end")
        check_installed()
        async with self._files.as_file(begun) as path:
            size = (await asyncio.to_thread(path.stat)).st_size
            async with self._room.hold(size):
                await self._cut(job, entry, begun, path)
        await self._index.complete(job, entry)

    async def _cut(self, job: ClaimedJob, entry: int, begun: Begun, path: Path) -> None:
        project = job.project or ""
        text = await read_text(self._documents, path, begun.filename, project)
        cut = chunks(text.text, text.kind, begun.chunk_tokens, begun.overlap)
        flow = islice(_bounded(cut), begun.chunks, None)
        while some := await asyncio.to_thread(lambda: list(islice(flow, _SLICE))):
            made = await self._embedded(some, title_of(begun.filename))
            await self._usage.check(project, sum(chunk.size for chunk in made.chunks))
            if not await self._index.write(job, entry, made):
                raise _Lost

    async def _embedded(self, some: Sequence[Chunk], title: str) -> Slice:
        texts = [chunk.embedded(title) for chunk in some]
        vectors = _packed(await self._embedder.embed([text for group in texts for text in group]))
        made, row = [], 0
        for chunk, group in zip(some, texts, strict=True):
            rows = vectors[row : row + len(group)]
            row += len(group)
            made.append(
                NewChunk(
                    chunk.number,
                    chunk.start,
                    chunk.own_start,
                    chunk.own_end,
                    chunk.about(title),
                    chunk.text,
                    rows.tobytes(),
                )
            )
        return Slice(made, vectors.shape[1])


def _packed(vectors: Vectors) -> "Packed":
    """Loads what the embedder has loaded before."""
    from antiphon.retrieval.packing import packed

    return packed(vectors)


def _bounded(cut: Iterator[Chunk]) -> Iterator[Chunk]:
    """Raises TooLarge for more tokens than a file may have."""
    tokens = 0
    for chunk in cut:
        tokens += chunk.tokens
        if tokens > 2 * MOST_TOKENS:  # neighbours have half of their tokens in common, at most
            raise TooLarge
        yield chunk


def _said(error: Exception, last: bool) -> tuple[ErrorCode | None, str]:
    """What is written down of a fault. No code: it may pass, and the file is tried again; not when it was
    the `last` time."""
    match error:
        case Unsupported():
            return "unsupported_file", "The file type is not supported."
        case Unreadable():
            return "invalid_file", f"The file could not be read: {error}."
        case OtherVectors():
            return "server_error", f"{error}."
        case NotInstalled():
            return "server_error", str(error)
        case TooMuchStored():
            return "server_error", (
                f"This project may keep {error.most} bytes (stored_bytes of [limits]), and the file's chunks "
                "would be more."
            )
    if not last:
        return None, ""
    if isinstance(error, EmbedderError):
        return "server_error", str(error)
    log.error("a file could not be indexed", exc_info=error)
    return "server_error", "An internal error occurred while the file was indexed."
