"""An embedder behind HTTP, against a server that speaks `/v1/embeddings`."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from antiphon.backends.embeddings import RemoteEmbedder
from antiphon.retrieval.embedder import EmbedderError

KEY = "sk-very-secret"


class Server:
    """Embeds a text as its length and the number of its vowels, in any order of rows."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[web.Response] = []
        self.most = 1000
        self.answer: Callable[[list[str]], Any] = lambda texts: {
            "data": [
                {"index": place, "embedding": [float(len(text)), text.count("a"), 1.0], "object": "embedding"}
                for place, text in reversed(list(enumerate(texts)))
            ],
            "model": "m",
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.headers.get("Authorization", ""), body))
        if self.refusals:
            return self.refusals.pop(0)
        if len(body["input"]) > self.most:
            return refusal(413, f"batch size {len(body['input'])} > maximum allowed batch size {self.most}")
        return web.json_response(self.answer(body["input"]))


def refusal(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error"}}, status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/embeddings", served.embeddings)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield served
    await runner.cleanup()


@pytest.fixture
async def embedder(server: Server) -> AsyncIterator[RemoteEmbedder]:
    made = RemoteEmbedder(server.base_url, "m", KEY)
    yield made
    await made.close()


async def test_vectors_come_in_the_order_of_the_texts_with_the_length_one(
    server: Server, embedder: RemoteEmbedder
) -> None:
    texts = ["a" * number for number in range(200)]
    vectors = await embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[:, 0] / vectors[:, 2], range(200), atol=1e-3)
    assert await embedder.dimension() == 3
    assert {key for key, _ in server.asked} == {f"Bearer {KEY}"}
    assert {body["model"] for _, body in server.asked} == {"m"}


async def test_how_long_its_vectors_are_is_asked_once(server: Server, embedder: RemoteEmbedder) -> None:
    assert [await embedder.dimension(), await embedder.dimension()] == [3, 3]
    assert len(server.asked) == 1


async def test_a_server_that_takes_fewer_at_once_is_asked_with_fewer(
    server: Server, embedder: RemoteEmbedder
) -> None:
    server.most = 10
    assert (await embedder.embed(["text"] * 100)).shape == (100, 3)
    refused = sum(len(body["input"]) > 10 for _, body in server.asked)
    server.asked.clear()
    await embedder.embed(["text"] * 40)
    assert refused <= 3
    assert all(len(body["input"]) <= 10 for _, body in server.asked)


async def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    server: Server, embedder: RemoteEmbedder
) -> None:
    server.refusals = [refusal(503, "loading", **{"Retry-After": "0"})]
    assert (await embedder.embed(["text"])).shape == (1, 3)
    server.refusals = [refusal(429, "slow down", **{"Retry-After": "0"})]
    assert (await embedder.embed(["text"])).shape == (1, 3)


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([refusal(503, "loading", **{"Retry-After": "90"})], "HTTP 503: loading"),
        ([refusal(401, f"Incorrect API key: {KEY}")], r"HTTP 401: Incorrect API key: \*\*\*"),
        ([refusal(404, "model 'm' not found")], "HTTP 404: model 'm' not found"),
        ([refusal(422, "input is too long")], "HTTP 422: input is too long"),
        ([refusal(500, "out of memory", **{"Retry-After": "0"})] * 2, "HTTP 500: out of memory"),
    ],
)
async def test_a_refusal_is_told_in_words_that_name_the_setting_and_no_key(
    server: Server, embedder: RemoteEmbedder, refusals: list[web.Response], words: str
) -> None:
    server.refusals = [refusal_again(one) for one in refusals]
    with pytest.raises(EmbedderError, match=words) as raised:
        await embedder.embed(["text"])
    assert "[embeddings]" in str(raised.value)
    assert KEY not in str(raised.value)


def refusal_again(response: web.Response) -> web.Response:
    """A response can be sent once only."""
    return web.Response(body=response.body, status=response.status, headers=response.headers)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}]},
        {"error": "nothing here"},
        [],
    ],
)
async def test_an_answer_that_is_none_is_an_error_in_words(
    server: Server, embedder: RemoteEmbedder, answer: Any
) -> None:
    server.answer = lambda texts: answer
    with pytest.raises(EmbedderError, match="The embedder at http"):
        await embedder.embed(["one", "two"])


async def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    embedder = RemoteEmbedder("http://127.0.0.1:9/v1", "m")
    with pytest.raises(EmbedderError, match=r"http://127\.0\.0\.1:9/v1 cannot be reached"):
        await embedder.embed(["text"])
    await embedder.close()


async def test_nothing_is_embedded_without_asking(server: Server, embedder: RemoteEmbedder) -> None:
    assert len(await embedder.embed([])) == 0
    assert server.asked == []
