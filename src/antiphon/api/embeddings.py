"""/v1/embeddings, for the embedder that this server searches with."""

import asyncio
import base64
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api import parsing
from antiphon.api.admission import settle
from antiphon.api.body import json
from antiphon.api.disconnect import connected
from antiphon.api.services import services
from antiphon.protocol.embeddings import EmbeddingsRequest
from antiphon.protocol.errors import InvalidRequest, UpstreamError
from antiphon.protocol.parse import parse
from antiphon.retrieval.embedder import Embedder, EmbedderError, Vectors
from antiphon.retrieval.tokens import count


async def answer(request: Request, body: bytes) -> HttpResponse:
    """The answer to a request whose model is the embedder. Raises InvalidRequest, or UpstreamError."""
    held = services(request)
    asked = await parsing.parsed(
        body,
        lambda given: parse(given, EmbeddingsRequest, held.config.server.lenient),
        held.config.limits.request_values,
    )
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not all(texts):
        raise InvalidRequest("Invalid 'input': input cannot be an empty string.", param="input")
    try:
        with connected(request.scope):
            await _check_dimensions(asked, held.embedder)
            vectors = await held.embedder.embed(texts)
            tokens = await asyncio.to_thread(lambda: sum(count(texts)))
    except EmbedderError as error:
        raise UpstreamError(str(error), code="embeddings_failed") from None
    settle(request.scope, tokens)
    data = await asyncio.to_thread(_shown, vectors, asked.encoding_format == "base64")
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body_of = {"object": "list", "data": data, "model": held.embedder.name, "usage": usage}
    return await asyncio.to_thread(json, body_of)


async def _check_dimensions(asked: EmbeddingsRequest, embedder: Embedder) -> None:
    """Raises InvalidRequest."""
    if asked.dimensions is None:
        return
    dimension = await embedder.dimension()
    if asked.dimensions != dimension:
        raise InvalidRequest(
            f"'{embedder.name}' has vectors of {dimension} numbers, and no others.",
            param="dimensions",
            code="unsupported_value",
        )


def _shown(vectors: Vectors, encoded: bool) -> Sequence[dict[str, object]]:
    rows = [
        base64.b64encode(row.astype("<f4").tobytes()).decode() if encoded else row.tolist() for row in vectors
    ]
    return [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
