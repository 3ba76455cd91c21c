"""Asks the search engines of `apis`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from antiphon.web.apis import Question, SearchApi
from antiphon.web.engine import Asked, Engine, EngineError, Found, FoundImage

SECONDS = 10.0
"""For an answer."""
_MOST_BYTES = 4 * 2**20
_SAID = 200
"""Characters of a refusal that are passed on."""


class JsonEngine(Engine):
    """One of them, at the address that the operator named or that its row has. Make it, and close it, within
    an event loop."""

    def __init__(self, api: SearchApi, url: str | None = None, key: str = "") -> None:
        base = url or api.url
        assert base is not None, "the configuration is checked before"
        self.name = api.name
        self.finds_images = api.images is not None
        self._api = api
        self._base = base.rstrip("/")
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def pages(self, asked: Asked) -> Sequence[Found]:
        return [page for page in self._api.found(await self._answer(self._api.pages(asked))) if page.url]

    async def images(self, asked: Asked) -> Sequence[FoundImage]:
        if self._api.images is None or self._api.found_images is None:
            return await super().images(asked)
        return list(self._api.found_images(await self._answer(self._api.images(asked))))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _answer(self, question: Question) -> Any:
        try:
            async with asyncio.timeout(SECONDS):
                return msgspec.json.decode(await self._body(question))
        except TimeoutError:
            raise EngineError(f"{self.name} did not answer within {SECONDS:g} seconds.") from None
        except (aiohttp.ClientError, OSError):
            where = URL(self._base).with_user(None)
            raise EngineError(f"{self.name} cannot be reached at {where}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise EngineError(f"{self.name} did not answer in JSON.") from None

    async def _body(self, question: Question) -> bytes:
        method = "GET" if question.body is None else "POST"
        async with self._opened().request(
            method,
            self._base + question.path,
            params=question.query,
            json=question.body,
            allow_redirects=False,  # the key is for the address that the operator named, and for no other
        ) as response:
            body = bytearray()
            while data := await response.content.readany():
                body += data
                if len(body) > _MOST_BYTES:
                    raise EngineError(f"{self.name} sent an answer that is too large.")
            if response.status != 200:
                raise EngineError(self._refusal(response.status, bytes(body)))
            return bytes(body)

    def _refusal(self, status: int, body: bytes) -> str:
        if self.name == "searxng" and status == 403:
            return "searxng answered with HTTP 403: its settings.yml must name `json` in search.formats."
        said = body[: 4 * _SAID + len(self._key)].decode(errors="replace")
        said = said.replace(self._key, "***") if self._key else said
        said = " ".join(said.split())[:_SAID]
        return f"{self.name} answered with HTTP {status}" + (f": {said}" if said else ".")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"User-Agent": "Antiphon", "Accept": "application/json"}
            if self._key:
                header, before = self._api.key_header
                headers[header] = before + self._key
            self._session = aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar())
        return self._session
