"""Which server answers, found by asking one."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import DIALECTS
from antiphon.backends.router import BackendConfig, build
from antiphon.protocol.errors import UpstreamError


class Server:
    """Answers at the paths that a kind of server has, with its marks."""

    def __init__(self) -> None:
        self.answers: Mapping[str, Any] = {}
        self.headers: Mapping[str, str] = {}
        self.everything: Mapping[str, Any] | None = None
        self.base_url = ""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.everything is not None:
            return web.json_response(self.everything)
        if request.path not in self.answers:
            return web.json_response({"detail": "Not Found"}, status=404, headers=self.headers)
        return web.json_response(self.answers[request.path], headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield served
    await runner.cleanup()


def models(owner: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": owner}]}


SERVERS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "vLLM, by its models": ({"/v1/models": models("vllm")}, {}, "vllm"),
    "vLLM, by its version": ({"/v1/models": models("me"), "/version": {"version": "0.11.0"}}, {}, "vllm"),
    "SGLang": ({"/v1/models": models("me"), "/get_model_info": {"model_path": "/m"}}, {}, "sglang"),
    "llama.cpp, by its models": ({"/v1/models": models("llamacpp")}, {}, "llama_cpp"),
    "llama.cpp, by its properties": (
        {"/v1/models": models("me"), "/props": {"default_generation_settings": {}}},
        {},
        "llama_cpp",
    ),
    "llama.cpp, by its header": ({}, {"Server": "llama.cpp"}, "llama_cpp"),
    "Ollama, by its models": ({"/v1/models": models("library")}, {}, "ollama"),
    "Ollama, by its version": ({"/api/version": {"version": "0.12.0"}}, {}, "ollama"),
    "LM Studio": (
        {"/v1/models": models("organization_owner"), "/api/v0/models": {"data": []}},
        {},
        "lmstudio",
    ),
    "LiteLLM": ({"/v1/models": models("openai")}, {"x-litellm-version": "1.80"}, "litellm"),
    "transformers": (
        {"/v1/models": models("Qwen"), "/openapi.json": {"info": {"title": "Transformers serve"}}},
        {},
        "transformers",
    ),
    "LiteLLM without its headers": (
        {
            "/v1/models": models("openai"),
            "/openapi.json": {"info": {"title": "LiteLLM API"}, "tags": ["sentence-transformers"]},
        },
        {},
        "litellm",
    ),
    "transformers without its name": (
        {
            "/v1/models": models("local"),
            "/openapi.json": {"info": {"title": "FastAPI"}, "paths": {"/load_model": {}, "/reset": {}}},
        },
        {},
        "transformers",
    ),
    "an unknown server": ({"/v1/models": models("me"), "/version": {"app": "x"}}, {}, "generic"),
}


@pytest.mark.parametrize("case", SERVERS)
async def test_a_server_is_known_by_what_it_answers(case: str, server: Server) -> None:
    server.answers, server.headers, name = SERVERS[case]
    backend = ChatCompletions(server.base_url)
    found = await backend.probe()
    assert backend.dialect.name == name
    assert found is not None
    assert name in found
    await backend.close()


async def test_the_window_that_a_server_reports_is_known(server: Server) -> None:
    entry = {"id": "m", "owned_by": "vllm", "max_model_len": 32768}
    server.answers = {"/v1/models": {"data": [entry]}}
    backend = ChatCompletions(server.base_url)
    await backend.probe()
    assert backend.capabilities("m").context_window == 32768
    await backend.close()


async def test_a_template_without_tools_is_known(server: Server) -> None:
    server.answers = {
        "/v1/models": models("llamacpp"),
        "/props": {
            "default_generation_settings": {"n_ctx": 4096},
            "chat_template_caps": {"supports_tools": False},
            "modalities": {"vision": False, "audio": False},
        },
    }
    backend = ChatCompletions(server.base_url)
    await backend.probe()
    can = backend.capabilities("m")
    assert (can.tools, can.images, can.audio, can.context_window) == (False, False, False, 4096)
    await backend.close()


async def test_a_server_that_answers_anything_is_not_known(server: Server) -> None:
    server.everything = models("me") | {"version": "1"}
    backend = ChatCompletions(server.base_url)
    await backend.probe()
    assert backend.dialect is DIALECTS["generic"]
    await backend.close()


async def test_a_dialect_that_is_configured_is_not_asked_for(server: Server) -> None:
    backend = ChatCompletions(server.base_url, dialect=DIALECTS["vllm"])
    assert await backend.probe() is None
    assert server.asked == []
    await backend.close()


async def test_a_server_is_asked_once(server: Server) -> None:
    server.answers = {"/v1/models": models("vllm")}
    backend = ChatCompletions(server.base_url)
    await backend.probe()
    assert await backend.probe() is None
    assert server.asked == ["/v1/models"]
    await backend.close()


async def test_what_was_found_out_changes_what_can_be_asked(server: Server) -> None:
    server.answers = {"/v1/models": models("library")}
    router = build([BackendConfig(name="local", base_url=server.base_url)])
    assert not router.resolve("m").capabilities.grammar
    async with router.probing():
        assert not router.resolve("m").capabilities.parallel_tools
    await router.close()


async def test_a_server_that_is_away_is_not_known() -> None:
    backend = ChatCompletions("http://127.0.0.1:9/v1")
    with pytest.raises(UpstreamError):
        await backend.probe()
    await backend.close()
