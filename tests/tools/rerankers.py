"""A server that ranks texts, and answers, breaks or hangs as a test wants."""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.served import Served
from tests.tools.embedders import Mood


class ServedReranker(Served):
    """A text has the score of the first word of `likes` that is in it, else .01."""

    def __init__(self, likes: Mapping[str, float]) -> None:
        app = Starlette(routes=[Route("/v1/rerank", self._rerank, methods=["POST"])])
        super().__init__(app, log_level="critical", timeout_graceful_shutdown=1)
        self.mood: Mood = "well"
        self.likes = dict(likes)
        self.asked: list[dict[str, Any]] = []

    async def _rerank(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if self.mood == "broken":
            return JSONResponse({"error": {"message": "No such model."}}, status_code=404)
        if self.mood == "hanging":
            while (await request.receive())["type"] != "http.disconnect":
                continue
        scores = [
            {"index": index, "relevance_score": self._score(text)}
            for index, text in enumerate(body["documents"])
        ]
        return JSONResponse({"results": sorted(scores, key=lambda one: -float(one["relevance_score"]))})

    def _score(self, text: str) -> float:
        return next((score for word, score in self.likes.items() if word in text), 0.01)
