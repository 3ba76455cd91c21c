"""Model servers that run on this machine, found where they usually listen."""

import asyncio
from collections.abc import Sequence

import httpx2
from msgspec import Struct

from antiphon.backends.listing import listed
from antiphon.backends.probe import Reply, probe
from antiphon.protocol.errors import UpstreamError

USUAL_PORTS: tuple[tuple[str, int], ...] = (
    ("Ollama", 11434),
    ("LM Studio", 1234),
    ("llama.cpp", 8080),
    ("vLLM", 8000),
    ("SGLang", 30000),
    ("LiteLLM", 4000),
)
_SECONDS = 2.0
"""How long a server may say nothing."""
_SECONDS_ALTOGETHER = 10.0
"""How long all questions to a server may take."""
_LARGEST = 8 * 2**20
"""Bytes of an answer."""
_NAMES = {
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "llama_cpp": "llama.cpp",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "litellm": "LiteLLM",
    "transformers": "Transformers",
}


class LocalServer(Struct, frozen=True):
    """One that answered."""

    name: str
    base_url: str
    dialect: str | None
    """None: it says nothing of what it is."""
    models: Sequence[str]

    @property
    def port(self) -> int:
        return httpx2.URL(self.base_url).port or 80


async def find(ports: Sequence[tuple[str, int]] = USUAL_PORTS) -> Sequence[LocalServer]:
    """All at once, so it takes ten seconds at most, whatever listens there."""
    found = await asyncio.gather(*(look_at(f"http://127.0.0.1:{port}/v1", name) for name, port in ports))
    return [server for server in found if server is not None]


async def look_at(base_url: str, name: str) -> LocalServer | None:
    """What answers there as a model server does; None: nothing, or an Antiphon. Proxies are not asked: the
    server is on this machine, or where the user says."""
    root = base_url.removesuffix("/").removesuffix("/v1")
    async with httpx2.AsyncClient(timeout=_SECONDS, trust_env=False) as http:

        async def ask(path: str) -> Reply:
            return await _asked(http, f"{root}/{path}")

        try:
            async with asyncio.timeout(_SECONDS_ALTOGETHER):
                models = listed((await ask("v1/models")).body)
                if b'"queue"' in (await ask("readyz")).body:
                    return None
                found = await probe(ask)
        except (httpx2.HTTPError, UpstreamError, TimeoutError):
            return None
    dialect = None if found is None else found.dialect.name
    return LocalServer(_NAMES.get(dialect or "", name), base_url, dialect, [model.id for model in models])


async def _asked(http: httpx2.AsyncClient, url: str) -> Reply:
    """Not compressed: how large that would become, nobody knows before. Raises UpstreamError, HTTPError."""
    body = bytearray()
    async with http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        async for some in answer.aiter_raw():
            body += some
            if len(body) > _LARGEST:
                raise UpstreamError("The upstream sent more than a model server says of itself.")
    return Reply(answer.status_code, answer.headers, bytes(body))
