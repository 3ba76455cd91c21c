"""A server that makes pictures, over HTTP (`model.image.ImageServer`)."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from fnmatch import fnmatchcase
from typing import Any

from msgspec.structs import replace
from yarl import URL

from antiphon.backends import image_answers as answers
from antiphon.backends import image_questions as questions
from antiphon.backends import upstream_errors
from antiphon.backends.http import Client, HttpAnswer, Patience
from antiphon.backends.image_dialects import GENERIC, ImageDialect, known_by_listing, known_by_name
from antiphon.backends.passthrough import Server, handed_on
from antiphon.backends.retry import LONGEST
from antiphon.backends.sse import Events
from antiphon.guard.offload import in_bytes, offload
from antiphon.model.image import ImageFault, ImageRequest, PartialPicture, Picture, Pictures
from antiphon.model.json_text import read_json
from antiphon.model.passthrough import Answer
from antiphon.protocol.errors import ApiError, NotFound, UpstreamError, UpstreamTimeout

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets what is at a URL that somebody else names. Raises any exception."""

_IN_FLIGHT = 4
_PROBE_SECONDS = 3.0
_ASK_AGAIN = 30.0
"""Seconds after which a server that did not say what it is is asked again."""
_LESSONS = 4
"""How often a request is sent: each refusal may teach one parameter that the server does not know."""
_PAUSE = 0.2
_BUSY = (429, 503)
_UNKNOWN = re.compile(
    r"unknown|unsupported|not supported|unexpected|unrecognized|extra (inputs|fields)|not permitted|"
    r"not allowed|does not support|invalid parameter",
    re.IGNORECASE,
)


class _Refused(Exception):
    """A status that is no success."""

    def __init__(self, status: int, fault: ImageFault, retry_after: float | None) -> None:
        super().__init__(str(fault))
        self.status = status
        self.fault = fault
        self.retry_after = retry_after

    @property
    def pause(self) -> float | None:
        """Seconds to wait before it is asked again; None: it is not."""
        pause = _PAUSE if self.retry_after is None else self.retry_after
        return pause if self.status in _BUSY and pause <= LONGEST else None


class RemoteImageServer:
    """The server at `base_url` (with its `/v1`). `models`: names and patterns that requests may name beside
    `model`; `dialect` None: found out by its address, its model, or its list of models."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        fetch: Fetch,
        api_key: str | None = None,
        dialect: ImageDialect | None = None,
        models: Sequence[str] = (),
        seconds: float = 300.0,
        answer_bytes: int = 64 * 2**20,
    ) -> None:
        """`seconds`: without a byte, after which it counts as gone. `answer_bytes`: of one answer."""
        self.model = model
        self._base = URL(base_url.rstrip("/"))
        self._where = str(self._base.with_user(None).with_query(None))
        self._api_key = api_key or ""
        self._fetch = fetch
        self._dialect = dialect or known_by_name(self._base.host, model)
        self._names = (model, *models)
        self._patience = Patience(10.0, seconds)
        self._most = answer_bytes
        self._refused: frozenset[str] = frozenset()
        """Parameters that it was found not to know."""
        self._asked_at: float | None = None
        authorized = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = Client(self._base, {"User-Agent": "antiphon", **authorized}, name="images")
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    # ---- what it is ----

    def serves(self, model: str) -> bool:
        return any(fnmatchcase(model, name) for name in self._names)

    async def unknown(self, options: Sequence[str], *, edits: bool | None) -> Sequence[str]:
        dialect = await self.dialect()
        known = dialect.edits if edits else dialect.makes
        if edits is None:
            known = dialect.edits | dialect.makes
        return [name for name in options if name not in known - self._refused]

    async def dialect(self) -> ImageDialect:
        """Whose images API it speaks, as far as it can be found out now."""
        if self._dialect is not None:
            return self._dialect
        now = asyncio.get_running_loop().time()
        if self._asked_at is None or now - self._asked_at > _ASK_AGAIN:
            self._asked_at = now
            try:
                self._dialect = await self.probe()
            except UpstreamError:
                return GENERIC
        return self._dialect or GENERIC

    async def probe(self) -> ImageDialect:
        """Ask it for its models. Raises UpstreamError when it does not answer."""
        if self._dialect is not None:
            return self._dialect
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                with await self._get(self._base / "models") as response:
                    body = await response.body(self._most, self._too_large)
        except (OSError, ImageFault) as fault:
            raise UpstreamError(f"The image server at {self._where} cannot be reached.") from fault
        owners, models = _listed(body)
        return known_by_listing(owners, models)

    # ---- pictures ----

    async def make(self, request: ImageRequest) -> AsyncGenerator[PartialPicture | Pictures, None]:
        request = replace(request, model=request.model or self.model)
        dialect = await self.dialect()
        async with self._slots:
            for last in (*[False] * (_LESSONS - 1), True):
                options = questions.sent_options(dialect, request, self._refused)
                try:
                    async with aclosing(self._made(dialect, request, options)) as made:
                        async for news in made:
                            yield news
                    return
                except _Refused as refusal:
                    if last or not await self._learns(refusal, options):
                        raise self._discreet(refusal.fault) from None

    async def _learns(self, refusal: _Refused, sent: Mapping[str, Any]) -> bool:
        """Whether it is worth asking again: when it is busy for a moment, or without a parameter that it does
        not know."""
        if refusal.pause is not None:
            await asyncio.sleep(refusal.pause)
            return True
        words = str(refusal.fault)
        if refusal.status not in (400, 422) or not _UNKNOWN.search(words):
            return False
        named = {name for name in sent if name == refusal.fault.param or re.search(rf"\b{name}\b", words)}
        if not named:
            return False
        self._refused |= named
        return True

    async def _made(
        self, dialect: ImageDialect, request: ImageRequest, options: dict[str, Any]
    ) -> AsyncGenerator[PartialPicture | Pictures, None]:
        """Raises _Refused, ImageFault."""
        body, kind = await asyncio.to_thread(questions.body, dialect, request, options)
        with _faults(), await self._post(questions.path(dialect, request), body, kind) as response:
            if response.status // 100 != 2:
                raise await self._refusal(response)
            if response.content_type == "text/event-stream":
                async for news in self._streamed(response, options):
                    yield news
            else:
                answer = await self._answer(response)
                yield await (self._from_chat(answer) if dialect.chats else self._whole(answer, options))

    async def _answer(self, response: HttpAnswer) -> answers.Json:
        body = await response.body(self._most, self._too_large)
        answer = await offload(in_bytes(len(body)), answers.decoded, body)
        fault = answers.fault_in(answer)
        if fault is not None and not answer.get("data") and not answer.get("choices"):
            raise self._discreet(fault)
        return answer

    async def _whole(self, answer: answers.Json, sent: Mapping[str, Any]) -> Pictures:
        made = [await self._picture(entry, sent) for entry in answers.entries(answer)]
        if not made:
            raise ImageFault("The image server answered without a picture.")
        return Pictures(pictures=made, tokens=answers.tokens(answer))

    async def _from_chat(self, answer: answers.Json) -> Pictures:
        made = [await self._picture({"url": url}, {}) for url in answers.of_chat(answer)]
        return Pictures(pictures=made, tokens=answers.tokens_of_chat(answer))

    async def _streamed(
        self, response: HttpAnswer, sent: Mapping[str, Any]
    ) -> AsyncIterator[PartialPicture | Pictures]:
        made: list[Picture] = []
        tokens = None
        async for event in self._events(response):
            if fault := answers.fault_in(event):
                raise self._discreet(fault)
            if partial := await asyncio.to_thread(answers.partial_picture, event, sent):
                yield partial
            elif answers.is_completed(event):
                made.append(await self._picture(event, sent))
                tokens = answers.tokens(event) or tokens
        if not made:
            raise ImageFault("The image server ended its stream without a picture.")
        yield Pictures(pictures=made, tokens=tokens)

    async def _events(self, response: HttpAnswer) -> AsyncIterator[answers.Json]:
        events, left = Events(), self._most
        while data := await response.read():
            left -= len(data)
            if left < 0:
                raise self._too_large()
            for event in events.feed(data):
                if event.strip() != b"[DONE]":
                    yield await offload(in_bytes(len(event)), answers.decoded, event)

    async def _picture(self, entry: answers.Json, sent: Mapping[str, Any]) -> Picture:
        data, url = entry.get("b64_json"), entry.get("url")
        if not isinstance(data, str) or not data:
            if not isinstance(url, str) or not url:
                raise ImageFault("The image server answered without a picture.")
            data = url if url[:5].lower() == "data:" else await self._at(url)
        return await asyncio.to_thread(answers.picture, entry, data, sent)

    async def _at(self, address: str) -> str:
        """What a URL leads to, in base64: on the server itself, or guarded, anywhere else."""
        url = self._base.join(URL(address))
        try:
            if url.origin() == self._base.origin():
                with await self._get(url) as response:
                    found = await response.body(self._most, self._too_large)
            else:
                found = await self._fetch(str(url))
        except (ImageFault, asyncio.CancelledError):
            raise
        except Exception as fault:
            raise ImageFault(
                "The picture could not be had from where the image server says it is."
            ) from fault
        return answers.data_url(found)

    # ---- requests that are passed on ----

    @asynccontextmanager
    async def answered(self, path: str, body: bytes, content_type: str) -> AsyncIterator[Answer]:
        """The answer to a client's own request, as it comes. Raises ApiError."""
        if (await self.dialect()).chats:
            raise NotFound(
                f"The image server of this installation has no /v1/{path} to pass this on to: it answers "
                "chats (dialect of [images]).",
                code="unknown_url",
            )

        async def post(path: str, body: bytes, _: Patience) -> HttpAnswer:
            return await self._post(path, body, content_type)

        server = Server(
            self._where,
            self._api_key,
            post,
            self._upstream_fault,
            self._patience,
            self._patience,
            self._most,
            helps="[images] names another server.",
        )
        async with handed_on(server, path, self.model, body, self._patience) as answer:
            yield answer

    async def close(self) -> None:
        await self._client.close()

    # ---- HTTP ----

    async def _get(self, url: URL) -> HttpAnswer:
        return await self._client.request("GET", url, None, self._patience)

    async def _post(self, path: str, body: bytes, content_type: str) -> HttpAnswer:
        url = self._base.joinpath(*path.split("/"))
        return await self._client.request("POST", url, body, self._patience, content_type)

    async def _refusal(self, response: HttpAnswer) -> _Refused:
        body = await response.beginning(upstream_errors.MAX_BODY)
        later = upstream_errors.retry_after(response.headers)
        return _Refused(response.status, answers.refusal(response.status, body), later)

    def _upstream_fault(self, fault: Exception, patience: Patience) -> UpstreamError:
        if isinstance(fault, TimeoutError):
            return UpstreamTimeout(
                f"The image server at {self._where} sent nothing for {patience.read:g} seconds."
            )
        return UpstreamError(f"The image server at {self._where} cannot be reached.")

    def _too_large(self) -> ImageFault:
        return ImageFault(f"The image server sent more than {self._most} bytes (answer_bytes of [limits]).")

    def _discreet(self, fault: ImageFault) -> ImageFault:
        """Some servers repeat the key that they refuse."""
        if self._api_key:
            fault.args = (str(fault).replace(self._api_key, "***"),)
        return fault


@contextmanager
def _faults() -> Iterator[None]:
    """What goes wrong on the way, as ImageFault."""
    try:
        yield
    except TimeoutError as fault:
        raise ImageFault("The image server did not answer in time.") from fault
    except ApiError as fault:
        raise ImageFault(fault.message) from fault
    except OSError as fault:
        raise ImageFault("The image server cannot be reached, or broke off.") from fault


def _listed(body: bytes) -> tuple[set[str], set[str]]:
    """Of a list of models, whose they are, and their names."""
    answer = read_json(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    entries = [entry for entry in (data if isinstance(data, list) else ()) if isinstance(entry, dict)]
    return {str(entry.get("owned_by")) for entry in entries}, {str(entry.get("id")) for entry in entries}
