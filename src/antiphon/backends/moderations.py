"""A judge behind HTTP: any server that has `/v1/moderations`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from yarl import URL

from antiphon.backends.model_server import ModelServer, ServerFault
from antiphon.model.moderation import Content, Judged
from antiphon.model.turn import ImagePart, TextPart
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.moderation import InputKind, Verdict, applied

_AT_ONCE = 32
"""Texts of one request."""

_SAME: Final[Mapping[str, str]] = {
    # Mistral
    "hate_and_discrimination": "hate",
    "violence_and_threats": "violence",
    "dangerous_and_criminal_content": "illicit",
    "selfharm": "self-harm",
    # servers that write them as the official client does
    "harassment_threatening": "harassment/threatening",
    "hate_threatening": "hate/threatening",
    "illicit_violent": "illicit/violent",
    "self_harm": "self-harm",
    "self_harm_intent": "self-harm/intent",
    "self_harm_instructions": "self-harm/instructions",
    "sexual_minors": "sexual/minors",
    "violence_graphic": "violence/graphic",
}
"""What some servers call a category."""


class _Row(Struct):
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None] = {}
    flagged: bool | None = None
    """Mistral does not say."""
    category_applied_input_types: dict[str, list[InputKind]] | None = None


class _Answer(Struct):
    results: list[_Row]
    model: str | None = None


class RemoteJudge:
    """A `Judge` at `base_url` (with its `/v1`)."""

    sees = True

    def __init__(self, base_url: str, model: str, api_key: str | None = None) -> None:
        self.name = model
        url = URL(base_url.rstrip("/")) / "moderations"
        self._server = ModelServer("moderation server", "moderation", url, api_key, _AT_ONCE)

    async def judge(self, contents: Sequence[Content]) -> Judged:
        """Texts go together; what has images goes apart, as one request can have one alone."""
        texts = [_text(content) for content in contents if not _images(content)]
        try:
            answered = iter(await self._server.in_batches(texts, self._asked))
            verdicts = [
                (await self._asked_of_parts(content)) if _images(content) else next(answered)
                for content in contents
            ]
        except ServerFault as fault:
            raise UpstreamError(str(fault)) from fault
        return Judged(self.name, verdicts)

    async def close(self) -> None:
        await self._server.close()

    async def _asked(self, texts: Sequence[str]) -> list[Verdict]:
        return self._verdicts(await self._post(texts), len(texts), ["text"])

    async def _asked_of_parts(self, content: Content) -> Verdict:
        kinds: list[InputKind] = ["text", "image"] if _text(content) else ["image"]
        return self._verdicts(await self._post([_part(part) for part in content]), 1, kinds)[0]

    async def _post(self, given: Sequence[Any]) -> bytes:
        return await self._server.post(msgspec.json.encode({"model": self.name, "input": given}))

    def _verdicts(self, body: bytes, count: int, kinds: list[InputKind]) -> list[Verdict]:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise self._server.fault(f"{self._server.name} answered with no verdicts: {fault}.") from None
        if len(answer.results) != count:
            found = len(answer.results)
            raise self._server.fault(f"{self._server.name} answered {count} inputs with {found} verdicts.")
        return [_verdict(row, kinds) for row in answer.results]


def _verdict(row: _Row, kinds: list[InputKind]) -> Verdict:
    """With all thirteen categories, also where the server knows fewer."""
    categories = {_SAME.get(name, name): bool(is_so) for name, is_so in row.categories.items()}
    scores = {_SAME.get(name, name): score or 0.0 for name, score in row.category_scores.items()}
    found = Verdict(
        flagged=any(categories.values()) if row.flagged is None else row.flagged,
        categories=categories,
        category_scores={name: scores.get(name, float(is_so)) for name, is_so in categories.items()},
        category_applied_input_types=row.category_applied_input_types or applied(kinds, categories),
    )
    return Verdict.clean().plus(found)


def _text(content: Content) -> str:
    return "".join(part.text for part in content if isinstance(part, TextPart))


def _images(content: Content) -> bool:
    return any(isinstance(part, ImagePart) for part in content)


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url}}
