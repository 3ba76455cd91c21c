"""A server of moderations that answers, breaks, hangs or waits as a test wants."""

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.served import Served
from tests.tools.embedders import Mood

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
ON_IMAGES = (
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "violence",
    "violence/graphic",
)
PATIENCE = 60.0


class ServedModerator(Served):
    """As OpenAI's: a text or image has each category whose word is in it, with .9; the others have .01.
    `words` says which category a word has. While `holding`, it answers nobody."""

    def __init__(self, words: Mapping[str, str]) -> None:
        app = Starlette(routes=[Route("/v1/moderations", self._moderations, methods=["POST"])])
        super().__init__(app, log_level="critical", timeout_graceful_shutdown=1)
        self.words = dict(words)
        self.mood: Mood = "well"
        self.answer: Any = None
        """What it answers instead."""
        self.most: int | None = None
        """How many texts it takes at once."""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Condition()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def wait_asked(self, count: int = 1) -> None:
        """Until so many questions have come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.asked) >= count, PATIENCE), "it was not asked"

    @property
    def texts(self) -> list[str]:
        """All texts that it was asked about."""
        return [text for body in self.asked for text in _texts(body["input"])]

    async def _moderations(self, request: Request) -> Response:
        body = await request.json()
        with self._arrived:
            self.asked.append(body)
            self.keys.append(request.headers.get("authorization"))
            self._arrived.notify_all()
        await run_in_threadpool(self._open.wait, PATIENCE)
        if self.mood == "broken":
            error = {"message": "Incorrect API key provided.", "type": "invalid_request_error"}
            return JSONResponse(
                {"error": error | {"param": None, "code": "invalid_api_key"}}, status_code=401
            )
        if self.mood == "hanging":
            while (await request.receive())["type"] != "http.disconnect":
                continue
        if self.answer is not None:
            return JSONResponse(self.answer)
        if self.most is not None and len(body["input"]) > self.most:
            return JSONResponse({"error": "batch size is too large"}, status_code=422)
        given = body["input"]
        contents = given if isinstance(given[0], str) else [given]
        results = [self._result(content) for content in contents]
        return JSONResponse({"id": "modr-1", "model": body["model"], "results": results})

    def _result(self, content: str | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        text, images = "\n".join(_texts([content] if isinstance(content, str) else content)), _images(content)
        of_text = {category for word, category in self.words.items() if word in text}
        of_images = {category for word, category in self.words.items() if word in images} & {*ON_IMAGES}
        applied = {
            name: ["text"] * bool(text) + ["image"] * (bool(images) and name in ON_IMAGES)
            for name in CATEGORIES
        }
        found = of_text | of_images
        for name in found:
            applied[name] = ["text"] * (name in of_text) + ["image"] * (name in of_images)
        return {
            "flagged": bool(found),
            "categories": {name: name in found for name in CATEGORIES},
            "category_scores": {name: 0.9 if name in found else 0.01 for name in CATEGORIES},
            "category_applied_input_types": applied,
        }


def _texts(given: Any) -> list[str]:
    parts = [given] if isinstance(given, str) else given
    texts = [part for part in parts if isinstance(part, str) or part["type"] == "text"]
    return [part if isinstance(part, str) else part["text"] for part in texts]


def _images(content: str | Sequence[Mapping[str, Any]]) -> str:
    """The images, as text: a test's image has its word in its bytes."""
    if isinstance(content, str):
        return ""
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return "".join(base64.b64decode(url.partition(",")[2]).decode("latin-1") for url in urls)


def scores(**given: float) -> str:
    """What a chat model answers that judges with the thirteen categories."""
    return json.dumps(
        dict.fromkeys(CATEGORIES, 0.0) | {name.replace("_", "/"): score for name, score in given.items()}
    )
