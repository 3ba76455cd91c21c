"""Judges texts and images of any length, with what this server has been given for it."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Final

import structlog

from antiphon.engine.moderating.policy import FAILED
from antiphon.model import ImagePart, TextPart
from antiphon.model.moderation import Content, Judge, Judged
from antiphon.protocol.error_messages import brief
from antiphon.protocol.errors import ApiError, InvalidRequest, UpstreamError, UpstreamTimeout
from antiphon.protocol.moderation import Verdict

MOST_PIECES: Final = 512
"""Of all that is judged at once."""
_OPENAI: Final = ("omni-moderation-", "text-moderation-")
"""Programs ask for OpenAI's models by their names: whatever judges here answers to them."""

log = structlog.get_logger()


class Moderator:
    """`characters`: of a piece of text that is judged at once. `seconds` that all of it may take."""

    def __init__(self, judge: Judge, characters: int, seconds: float) -> None:
        self._judge = judge
        self._characters = characters
        self._seconds = seconds

    @property
    def name(self) -> str:
        """The model that judges."""
        return self._judge.name

    def check_model(self, model: str | None, param: str) -> None:
        """Raises InvalidRequest for a model that does not judge here."""
        if model is not None and model != self.name and not model.startswith(_OPENAI):
            raise InvalidRequest(
                f"The moderation model '{brief(model)}' does not exist: '{self.name}' judges here, and "
                "answers to the names of OpenAI's moderation models too.",
                param=param,
                code="model_not_found",
            )

    async def judge(self, contents: Sequence[Content], param: str = "input") -> Judged:
        """A verdict on each content. `param` is where they stand in the request. Raises InvalidRequest for
        what cannot be judged here, and UpstreamError when the judge does not do it."""
        cut = [list(self._pieces(content)) for content in contents]
        pieces = [piece for each in cut for piece in each]
        self._check(pieces, param)
        judged = Judged(self.name, ())
        if pieces:
            judged = await self._judged(pieces)
        verdicts = iter(judged.verdicts)
        return Judged(
            judged.model,
            [reduce(Verdict.plus, [next(verdicts) for _ in each], Verdict.clean()) for each in cut],
        )

    async def close(self) -> None:
        await self._judge.close()

    async def _judged(self, pieces: Sequence[Content]) -> Judged:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._judge.judge(pieces)
        except TimeoutError:
            raise UpstreamTimeout(
                f"'{self.name}' did not judge within {self._seconds:g} seconds (seconds of [moderation]).",
                code=FAILED,
            ) from None
        except ApiError as fault:
            log.warning("moderation failed", judge=self.name, reason=fault.message)
            raise UpstreamError(
                f"The moderation failed: {fault.message}", code=FAILED, retry_after=fault.retry_after
            ) from None

    def _check(self, pieces: Sequence[Content], param: str) -> None:
        """Raises InvalidRequest."""
        if len(pieces) > MOST_PIECES:
            raise InvalidRequest(
                f"'{param}' is too long to be judged: {MOST_PIECES} images and pieces of {self._characters} "
                "characters (characters of [moderation]) are the most.",
                param=param,
                code="string_above_max_length",
            )
        has_images = any(isinstance(part, ImagePart) for piece in pieces for part in piece)
        if has_images and not self._judge.sees:
            raise InvalidRequest(
                f"'{param}' has an image, and '{self.name}', which judges here, cannot see: [moderation] "
                "names the judge.",
                param=param,
                code="unsupported_value",
            )

    def _pieces(self, content: Content) -> Iterator[Content]:
        """What is judged at once: a text with its image, or the parts of more than that, each alone. Pieces
        of a long text overlap, so that nothing is lost between two."""
        texts = [TextPart(piece) for piece in self._cut(_text(content))]
        images = [part for part in content if isinstance(part, ImagePart)]
        if len(texts) <= 1 and len(images) <= 1:
            if texts or images:
                yield (*texts, *images)
            return
        yield from ((text,) for text in texts)
        yield from ((image,) for image in images)

    def _cut(self, text: str) -> Iterator[str]:
        step = self._characters - self._characters // 10
        if text.strip():
            yield text[: self._characters]
            rest = range(step, len(text) - (self._characters - step), step)
            yield from (text[at : at + self._characters] for at in rest)


def _text(content: Content) -> str:
    return "\n".join(part.text for part in content if isinstance(part, TextPart))
