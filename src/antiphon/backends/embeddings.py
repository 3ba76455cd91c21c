"""An embedder behind HTTP: any server that has `/v1/embeddings`."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from yarl import URL

from antiphon.backends.model_server import ModelServer, ServerFault
from antiphon.retrieval.embedder import EmbedderError, Vectors

_AT_ONCE = 64
"""Texts of one request: TEI takes 32 by default, OpenAI 2048."""


class _Row(Struct):
    index: int
    embedding: list[float]


class _Answer(Struct):
    data: list[_Row]


class RemoteEmbedder:
    """An `Embedder` at `base_url` (with its `/v1`). How long its vectors are is learned by asking."""

    def __init__(self, base_url: str, model: str, api_key: str | None = None) -> None:
        self.name = model
        url = URL(base_url.rstrip("/")) / "embeddings"
        self._server = ModelServer("embedder", "embeddings", url, api_key, _AT_ONCE)
        self._dimension: int | None = None

    async def dimension(self) -> int:
        if self._dimension is None:
            await self.embed(["dimension"])
        assert self._dimension is not None
        return self._dimension

    async def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        try:
            rows = await self._server.in_batches(texts, self._asked)
        except ServerFault as fault:
            raise EmbedderError(str(fault)) from fault
        vectors = np.asarray(rows, np.float32).reshape(len(texts), self._dimension or 0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        return vectors

    async def close(self) -> None:
        await self._server.close()

    async def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        body = msgspec.json.encode({"model": self.name, "input": texts, "encoding_format": "float"})
        return self._rows(await self._server.post(body), len(texts))

    def _rows(self, body: bytes, count: int) -> list[list[float]]:
        name = self._server.name
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise EmbedderError(f"{name} answered with no embeddings: {fault}.") from None
        rows = [row.embedding for row in sorted(answer.data, key=lambda row: row.index)]
        self._dimension = self._dimension or (len(rows[0]) if rows else None)
        if len(rows) != count or any(len(row) != self._dimension for row in rows):
            raise EmbedderError(
                f"{name} answered {count} texts with {len(rows)} vectors, or with vectors of other lengths "
                "than before."
            )
        return rows
