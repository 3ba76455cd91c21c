"""An embedder behind HTTP: any server that has `/v1/embeddings`."""

import asyncio
from collections.abc import Sequence

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from antiphon.backends import upstream_errors
from antiphon.backends.connections import TcpConnector, send, timeout
from antiphon.backends.retry import pause_before_retry
from antiphon.protocol.errors import ApiError, RateLimited, UpstreamError, UpstreamTimeout
from antiphon.retrieval.embedder import EmbedderError, Vectors

_AT_ONCE = 64
"""Texts of one request: TEI takes 32 by default, OpenAI 2048. Who takes fewer says so, and is asked with one
half of them."""
_IN_FLIGHT = 4
_KEEP_ALIVE = 4.0
_MAX_ANSWER = 64 * 2**20
_PATIENCE = timeout(connect=10.0, read=120.0)


class _Row(Struct):
    index: int
    embedding: list[float]


class _Answer(Struct):
    data: list[_Row]


class RemoteEmbedder:
    """An `Embedder` at `base_url` (with its `/v1`). How long its vectors are is learned by asking."""

    def __init__(self, base_url: str, model: str, api_key: str | None = None) -> None:
        self.name = model
        self._url = URL(base_url.rstrip("/")) / "embeddings"
        self._where = str(self._url.parent.with_user(None).with_query(None))
        self._api_key = api_key or ""
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._at_once = _AT_ONCE
        self._dimension: int | None = None

    async def dimension(self) -> int:
        if self._dimension is None:
            await self.embed(["dimension"])
        assert self._dimension is not None
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows: list[list[float]] = []
        while len(rows) < len(texts):
            rows += await self._some(texts[len(rows) : len(rows) + self._at_once])
        vectors = np.asarray(rows, np.float32).reshape(len(texts), self._dimension or 0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        return vectors

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _some(self, texts: Sequence[str]) -> list[list[float]]:
        """The rows of the first of these texts: of all, unless the server takes fewer at once."""
        while True:
            try:
                async with self._slots:
                    return await self._patiently(texts)
            except _TooMany as refused:
                if len(texts) == 1:
                    raise self._words(str(refused)) from None
                texts = texts[: len(texts) // 2]
                self._at_once = min(self._at_once, len(texts))

    async def _patiently(self, texts: Sequence[str]) -> list[list[float]]:
        """A server that cannot just now is asked once more. Raises EmbedderError."""
        try:
            return await self._asked(texts)
        except ApiError as fault:
            pause = pause_before_retry(fault)
            if pause is None:
                raise self._words(fault.message) from fault
        await asyncio.sleep(pause)
        try:
            return await self._asked(texts)
        except ApiError as fault:
            raise self._words(fault.message) from fault

    async def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        body = msgspec.json.encode({"model": self.name, "input": texts, "encoding_format": "float"})
        try:
            async with await send(self._open(), "POST", self._url, body, _PATIENCE) as response:
                return self._rows(await self._body(response), len(texts))
        except TimeoutError as fault:
            raise UpstreamTimeout(f"The embedder at {self._where} did not answer in time.") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise UpstreamError(f"The embedder at {self._where} cannot be reached.") from fault

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Of an answer, whole. Raises what its refusal means."""
        body = bytearray()
        while data := await response.content.readany():
            body += data
            if len(body) > _MAX_ANSWER:
                raise EmbedderError(f"The embedder at {self._where} sent an answer that is too large.")
        if response.status != 200:
            raise self._refusal(response, bytes(body[: upstream_errors.MAX_BODY]))
        return bytes(body)

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> Exception:
        status, words = response.status, upstream_errors.words_in(body)
        said = f"The embedder at {self._where} answered with HTTP {status}" + (f": {words}" if words else ".")
        if status in (413, 422) or (status == 400 and "batch" in words.lower()):
            return _TooMany(said)
        later = upstream_errors.retry_after(response.headers)
        if status == 429:
            return RateLimited(said, retry_after=later)
        if status >= 500 or status == 408:
            return UpstreamError(said, retry_after=later)
        return self._words(said)

    def _rows(self, body: bytes, count: int) -> list[list[float]]:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError as fault:
            raise EmbedderError(
                f"The embedder at {self._where} answered with no embeddings: {fault}."
            ) from None
        rows = [row.embedding for row in sorted(answer.data, key=lambda row: row.index)]
        self._dimension = self._dimension or (len(rows[0]) if rows else None)
        if len(rows) != count or any(len(row) != self._dimension for row in rows):
            raise EmbedderError(
                f"The embedder at {self._where} answered {count} texts with {len(rows)} vectors, or with "
                "vectors of other lengths than before."
            )
        return rows

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"User-Agent": "antiphon"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            self._session = aiohttp.ClientSession(
                connector=TcpConnector(keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
            )
        return self._session

    def _words(self, said: str) -> EmbedderError:
        discreet = said.replace(self._api_key, "***") if self._api_key else said
        return EmbedderError(f"{discreet} [embeddings] names the server, the model and the key.")


class _TooMany(Exception):
    """The server takes fewer texts at once."""
