"""A server of embeddings that answers, breaks or hangs as a test wants."""

import hashlib
from typing import Literal, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.served import Served

DIMENSION = 64
Mood = Literal["well", "broken", "hanging"]


class ServedEmbedder(Served):
    """Texts with the same words have vectors near to each other. `mood` can be changed at any time."""

    def __init__(self) -> None:
        app = Starlette(routes=[Route("/v1/embeddings", self._embeddings, methods=["POST"])])
        super().__init__(app, log_level="critical", timeout_graceful_shutdown=1)
        self.mood: Mood = "well"
        self.asked: list[str] = []
        """The texts, one after the other."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    async def _embeddings(self, request: Request) -> Response:
        texts = (await request.json())["input"]
        self.asked += texts
        if self.mood == "broken":
            return JSONResponse({"error": {"message": "No such model."}}, status_code=404)
        if self.mood == "hanging":
            while (await request.receive())["type"] != "http.disconnect":
                continue
        rows = [{"index": index, "embedding": _vector(text)} for index, text in enumerate(texts)]
        return JSONResponse({"object": "list", "data": rows})


def _vector(text: str) -> list[float]:
    vector = [0.01] * DIMENSION
    for word in text.lower().split():
        vector[hashlib.md5(word.encode()).digest()[0] % DIMENSION] += 1.0
    return vector
