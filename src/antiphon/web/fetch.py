"""Fetches what clients name by URL, without being led to where only we can go.

Addresses are checked by `guard`, when the socket to one is made. Names are looked up once, for that
connection alone, and what they resolve to is what is checked. Redirects are followed here, one by one.
"""

import asyncio
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct
from yarl import URL

from antiphon.guard.addresses import NOT_PUBLIC, Reachable, as_address, is_forbidden, sockets
from antiphon.guard.lazily import imported
from antiphon.web.recent import Recent

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 5
MAX_URL = 8192
CACHE_BYTES = 64 * 2**20
CACHE_SECONDS = 300.0
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"User-Agent": "Antiphon", "Accept": "*/*", "Accept-Encoding": "identity"}


class Unfetchable(Exception):
    """It could not be fetched; the message says why."""


class BadUrl(Unfetchable):
    """Not a URL that we fetch."""


class TooBig(Unfetchable):
    """It is larger than we take."""


class Fetched(Struct, frozen=True):
    data: bytes
    media_type: str
    """As the server says."""
    filename: str
    url: str = ""
    """Where it was in the end, behind all redirects."""


class Fetcher:
    """Fetches with GET. What was fetched is remembered for some minutes: a conversation that shows an image
    shows it again with every turn. Make it, and close it, within an event loop."""

    def __init__(
        self,
        reachable: Reachable,
        max_bytes: int = 50 * 2**20,
        seconds: float = 20.0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`reachable` says which addresses may be connected to: `is_public`, or `anywhere`; `cache_bytes` how
        much is remembered."""
        self.max_bytes = max_bytes
        self._seconds = seconds
        self._reachable = reachable
        self._recent = Recent[str, Fetched](cache_bytes, CACHE_SECONDS, lambda fetched: len(fetched.data))
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str) -> Fetched:
        """Raises Unfetchable."""
        found = self._recent.get(url)
        if found is None:
            found = await self._fetch(_parsed(url))
            self._recent.put(url, found)
        return found

    async def _fetch(self, url: URL) -> Fetched:
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(MAX_REDIRECTS + 1):
                    got = await self._step(url)
                    if isinstance(got, Fetched):
                        return got
                    url = got
        except TimeoutError:
            raise Unfetchable(f"it took longer than {self._seconds:g} seconds") from None
        raise Unfetchable(f"it redirects more than {MAX_REDIRECTS} times")

    async def _opened(self) -> "aiohttp.ClientSession":
        """When something is fetched: most servers never do."""
        await imported("aiohttp")
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(
                use_dns_cache=False,
                force_close=True,
                socket_factory=sockets(self._reachable),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    async def _step(self, url: URL) -> Fetched | URL:
        """What is there, or where it says to go on."""
        session = await self._opened()
        from aiohttp import ClientConnectorDNSError, ClientError, InvalidURL

        try:
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    return _parsed(response.headers.get("Location", ""), url)
                if response.status != 200:
                    raise Unfetchable(f"the server answered with HTTP {response.status}")
                body = await self._body(response)
                return Fetched(body, response.content_type, _filename(response), str(url))
        except (InvalidURL, UnicodeError):
            address = as_address(url.host or "")
            known = address is not None and not self._reachable(address)
            raise BadUrl(f"it {NOT_PUBLIC}" if known else "it is not a URL that can be fetched") from None
        except ClientConnectorDNSError:
            raise Unfetchable("its host could not be found") from None
        except (ClientError, OSError) as error:
            if is_forbidden(error):
                raise BadUrl(f"it {NOT_PUBLIC}") from None
            raise Unfetchable("the connection failed") from None

    async def _body(self, response: "aiohttp.ClientResponse") -> bytes:
        if (response.content_length or 0) > self.max_bytes:
            raise self._too_big()
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self.max_bytes:
                raise self._too_big()
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_big(self) -> TooBig:
        return TooBig(f"it is larger than {self.max_bytes} bytes")


def _parsed(text: str, base: URL | None = None) -> URL:
    """Raises BadUrl."""
    if not text or len(text) > MAX_URL:
        raise BadUrl("it is empty" if not text else f"it is longer than {MAX_URL} characters")
    try:
        url = URL(text) if base is None else base.join(URL(text))
        host = url.host
    except ValueError:
        raise BadUrl("it is malformed") from None
    if url.scheme not in ("http", "https"):
        raise BadUrl("only http and https are fetched")
    if not host:
        raise BadUrl("it names no host")
    if url.user is not None or url.password is not None:
        raise BadUrl("it has credentials in it")
    return url


def _filename(response: "aiohttp.ClientResponse") -> str:
    disposition = response.content_disposition
    named = disposition.filename if disposition else None
    return PurePosixPath(named or response.url.path).name
