"""A reranker behind HTTP, against a server that speaks the forms that are documented: Jina's, which Cohere,
vLLM and llama.cpp share, and that of Text Embeddings Inference."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from antiphon.backends.rerank import RemoteReranker
from antiphon.retrieval.reranker import RerankerError

KEY = "sk-very-secret"
TEXTS = ["a river", "a boat on a river", "bread"]


class Server:
    """Scores a text by how many of its words the question has. The best come first, as the API wants it."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[web.Response] = []
        self.most = 1000
        self.shift, self.scale = 0.0, 1.0
        self.lost = 0

    def scored(self, question: str, texts: list[str]) -> list[tuple[int, float]]:
        shares = [sum(word in question for word in text.split()) / len(text.split()) for text in texts]
        ranked = sorted(enumerate(shares), key=lambda pair: -pair[1])
        return [(index, self.shift + self.scale * share) for index, share in ranked][self.lost :]

    async def _body(self, request: web.Request, texts: str) -> dict[str, Any] | web.Response:
        body: dict[str, Any] = await request.json()
        self.asked.append((request.headers.get("Authorization", ""), body))
        if self.refusals:
            return self.refusals.pop(0)
        if len(body[texts]) > self.most:
            return web.json_response({"error": "batch size is too large"}, status=413)
        return body

    async def rerank(self, request: web.Request) -> web.Response:
        body = await self._body(request, "documents")
        if isinstance(body, web.Response):
            return body
        scored = self.scored(body["query"], body["documents"])[: body["top_n"]]
        results = [{"index": index, "relevance_score": score} for index, score in scored]
        return web.json_response(
            {"model": body.get("model"), "object": "list", "usage": {"total_tokens": 9}, "results": results}
        )

    async def tei(self, request: web.Request) -> web.Response:
        body = await self._body(request, "texts")
        if isinstance(body, web.Response):
            return body
        scored = self.scored(body["query"], body["texts"])
        return web.json_response([{"index": index, "score": score} for index, score in scored])


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/rerank", served.rerank)
    app.router.add_post("/rerank", served.tei)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def reranker(server: Server) -> AsyncIterator[RemoteReranker]:
    made = RemoteReranker(f"{server.url}/v1", "m", KEY)
    yield made
    await made.close()


@pytest.fixture
async def tei(server: Server) -> AsyncIterator[RemoteReranker]:
    made = RemoteReranker(f"{server.url}/", api="tei")
    yield made
    await made.close()


async def test_scores_come_in_the_order_of_the_texts(server: Server, reranker: RemoteReranker) -> None:
    assert await reranker.scores("a boat", TEXTS) == [0.5, 0.6, 0.0]
    assert server.asked == [
        (f"Bearer {KEY}", {"model": "m", "query": "a boat", "documents": TEXTS, "top_n": 3})
    ]


async def test_text_embeddings_inference_is_asked_in_its_own_form(
    server: Server, tei: RemoteReranker
) -> None:
    assert await tei.scores("a boat", TEXTS) == [0.5, 0.6, 0.0]
    assert server.asked == [("", {"query": "a boat", "texts": TEXTS, "truncate": True})]


@pytest.mark.parametrize("api", ["rerank", "tei"])
async def test_a_server_that_takes_fewer_texts_is_asked_more_often(
    server: Server, reranker: RemoteReranker, tei: RemoteReranker, api: str
) -> None:
    server.most = 5
    texts = TEXTS * 10
    made = {"rerank": reranker, "tei": tei}[api]

    assert await made.scores("a boat", texts) == [0.5, 0.6, 0.0] * 10
    await made.scores("a boat", texts)

    sizes = [len(body.get("documents") or body["texts"]) for _, body in server.asked]
    assert sum(size for size in sizes if size <= 5) == 60
    assert sizes[-5:] == [3] * 5, "it is not tried again with more"


async def test_logits_become_probabilities_in_the_same_order(
    server: Server, reranker: RemoteReranker
) -> None:
    server.shift, server.scale = -4.0, 10.0  # logits of 1, 2 and -4

    first, second, third = await reranker.scores("a boat", TEXTS)

    assert (round(first, 3), round(second, 3), round(third, 3)) == (0.731, 0.881, 0.018)
    server.shift, server.scale = 0.5, 0.0
    assert [round(score, 3) for score in await reranker.scores("a boat", TEXTS)] == [0.622] * 3, "nor later"


async def test_logits_of_any_size_are_taken(server: Server, reranker: RemoteReranker) -> None:
    server.scale = -1e6
    assert await reranker.scores("a boat", TEXTS) == [pytest.approx(0), pytest.approx(0), 0.5]


async def test_a_server_that_is_busy_for_a_moment_is_asked_once_more(
    server: Server, reranker: RemoteReranker
) -> None:
    server.refusals = [web.json_response({"error": {"message": "loading"}}, status=503)]
    assert await reranker.scores("a boat", TEXTS) == [0.5, 0.6, 0.0]
    server.refusals = [web.json_response({"error": {"message": "loading"}}, status=503) for _ in range(2)]
    with pytest.raises(RerankerError, match=r"HTTP 503: loading.*\[reranker\] names the server"):
        await reranker.scores("a boat", TEXTS)


async def test_what_is_no_answer_is_a_fault_in_words_without_the_key(
    server: Server, reranker: RemoteReranker
) -> None:
    server.refusals = [web.json_response({"error": {"message": f"{KEY} is no key"}}, status=401)]
    with pytest.raises(RerankerError, match=r"HTTP 401: \*\*\* is no key"):
        await reranker.scores("a boat", TEXTS)
    for body in (b"[1, 2]", b'{"results": ' + b"[" * 100_000, b'{"x": ' + b"[" * 100_000, b'{"\xff": 1}'):
        server.refusals = [web.Response(body=body, content_type="application/json")]
        with pytest.raises(RerankerError, match="answered with no scores"):
            await reranker.scores("a boat", TEXTS)
    server.lost = 1
    with pytest.raises(RerankerError, match="answered 3 texts with 2 scores"):
        await reranker.scores("a boat", TEXTS)
    nobody = RemoteReranker("http://127.0.0.1:9/v1", "m")
    with pytest.raises(RerankerError, match=r"http://127.0.0.1:9/v1 cannot be reached"):
        await nobody.scores("a boat", TEXTS)
    await nobody.close()
