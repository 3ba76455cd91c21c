"""The moderation of one response: what is judged, when, and what follows.

What the request brings is judged beside the model's work, or before anything else where the request wants
it blocked. Of the output, what is scored is judged when it is whole. Where it may be blocked, each turn of
the model is held back until it was judged, together with all that came before it: nothing of a turn that
does not pass is emitted, run or kept.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import groupby

from msgspec import Struct

from antiphon.engine.calling.ask import Ask
from antiphon.engine.moderating.moderator import Moderator
from antiphon.guard.offload import offload
from antiphon.model import (
    AudioDelta,
    AudioPart,
    CallArguments,
    Delta,
    Deltas,
    FilePart,
    Finished,
    HostedCode,
    HostedEnded,
    HostedPart,
    ImagePart,
    Message,
    ReasoningDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.model.moderation import Content
from antiphon.protocol.errors import ApiError, InvalidRequest, ModelFault
from antiphon.protocol.hosted_items import ImageGenerationCall, Search, WebSearchCall
from antiphon.protocol.item import Item
from antiphon.protocol.moderation import (
    Moderated,
    ModerationError,
    ModerationResult,
    ResponseModeration,
    Verdict,
)
from antiphon.protocol.request import ModerationOptions
from antiphon.protocol.response import Response

_BETWEEN = "\n\n"
_SPEECH = (
    TextDelta,
    RefusalDelta,
    AudioDelta,
    ReasoningDelta,
    SummaryDelta,
    CallArguments,
    HostedCode,
    HostedEnded,
)


class Subject(Struct, frozen=True):
    """What a response is about, to be read."""

    size: int
    """How much there is to look at."""
    given: Callable[[], Sequence[Message]]
    """The request's own input, as the model reads it. Raises InvalidRequest."""
    written: Callable[[Sequence[Item]], Sequence[Message]]
    """Items of the output."""


class Moderation:
    """`options`, at work on one response. Results are kept as they come."""

    def __init__(self, moderator: Moderator, options: ModerationOptions, subject: Subject) -> None:
        policy = options.policy
        self._moderator = moderator
        self._subject = subject
        self._blocks_input = bool(policy and policy.input and policy.input.mode == "block")
        self._blocks_output = bool(policy and policy.output and policy.output.mode == "block")
        self._input: Moderated | None = None
        self._output: Moderated | None = None
        self._beside: asyncio.Task[Moderated] | None = None
        self._held = 0
        """How many turns are held back, or were never judged."""
        self._stopped = False
        """Whether one was that did not pass."""

    @property
    def passed(self) -> bool:
        """Whether all that the model wrote may be shown, as far as it was to be judged first."""
        return not self._held and not self._stopped

    # ---- the input --------------------------------------------------------------------------------------

    async def admit(self) -> None:
        """Judge an input that may be blocked. Raises InvalidRequest when it is, and ApiError when it cannot
        be judged."""
        if not self._blocks_input:
            return
        found = await self._judged_input()
        if found.flagged:
            raise _blocked(found)
        self._input = found

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """While the block runs the input is judged."""
        if self._input is None:
            self._beside = asyncio.create_task(_scored(self._judged_input()))
        try:
            yield
        finally:
            if self._beside is not None:
                self._beside.cancel()

    async def _judged_input(self) -> ModerationResult:
        messages = await offload(self._subject.size, self._subject.given)
        return await self._judged(list(_contents(messages)))

    # ---- the output -------------------------------------------------------------------------------------

    def guarded(self, ask: Ask, so_far: Callable[[], Response]) -> Ask:
        """`ask`, whose answers are held back until they were judged, together with the response `so_far`;
        itself where nothing is blocked."""
        if not self._blocks_output:
            return ask

        async def stream(turn: Turn) -> Deltas:
            held: list[Delta] = []
            fault: ModelFault | None = None
            self._held += 1
            try:
                async with aclosing(ask(turn)) as deltas:
                    async for batch in deltas:
                        if not held and not batch:
                            yield batch
                        held += batch
            except ModelFault as error:  # which may quote what the model wrote
                fault = error
            yield [delta for delta in held if isinstance(delta, UsageDelta)]
            if await self._stops(held, so_far(), fault.message if fault else ""):
                yield [Finished("content_filter")]
                return
            self._held -= 1
            yield held
            if fault is not None:
                raise fault

        return stream

    async def result(self, response: Response) -> ResponseModeration:
        """What was found, when all of the output is there."""
        given = self._input
        if given is None:
            given = self._input = await (self._beside or _scored(self._judged_input()))
        if self._output is None:
            self._output = await _scored(self._judged_output(response))
        return ResponseModeration(input=given, output=self._output)

    async def _judged_output(self, response: Response, more: str = "") -> ModerationResult:
        output = response.output
        messages = await offload(len(output), self._subject.written, output)
        said = [text for message in messages if message.role == "assistant" for text in _texts_of(message)]
        return await self._judged([(TextPart(_BETWEEN.join(filter(None, (*said, more)))),)])

    async def _stops(self, held: Sequence[Delta], so_far: Response, quoted: str) -> bool:
        """Whether a turn may not pass. Raises ApiError when that cannot be found out: then it does not."""
        sounds = [delta for delta in held if isinstance(delta, AudioDelta)]
        if sounds and not any(sound.transcript for sound in sounds):
            raise _unjudgeable("The answer", "sound without words", "moderation.policy.output.mode")
        found = await self._judged_output(so_far, _BETWEEN.join(filter(None, (_said(held), quoted))))
        if not self._stopped:
            self._output = found
        self._stopped = self._stopped or found.flagged
        return found.flagged

    async def _judged(self, contents: Sequence[Content]) -> ModerationResult:
        judged = await self._moderator.judge(contents)
        verdict = Verdict.clean()
        for each in judged.verdicts:
            verdict = verdict.plus(each)
        return ModerationResult.of(judged.model, verdict)


async def _scored(judging: Awaitable[ModerationResult]) -> Moderated:
    """What is found, or why nothing is: a score stops nothing."""
    try:
        return await judging
    except ApiError as fault:
        return ModerationError(fault.code or fault.type, fault.message)


def _blocked(found: ModerationResult) -> InvalidRequest:
    named = ", ".join(name for name, is_so in found.categories.items() if is_so)
    code = "image_content_policy_violation" if found.about_images_alone else "invalid_prompt"
    return InvalidRequest(
        f"Invalid prompt: your input was flagged by '{found.model}' ({named}). Please try again with a "
        "different one.",
        param="input",
        code=code,
    )


def _unjudgeable(what: str, why: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} has {why}, which cannot be judged, and 'moderation' asks for it.",
        param=param,
        code="unsupported_value",
    )


# ---- what is read of messages and deltas ------------------------------------------------------------


def _contents(messages: Sequence[Message]) -> Iterator[Content]:
    """What a request brings: all texts, and each image. What instructs the model is the application's own.
    Raises InvalidRequest for what cannot be judged."""
    parts = [part for message in messages if message.role in ("user", "tool") for part in message.parts]
    if any(isinstance(part, AudioPart | FilePart) for part in parts):
        raise _unjudgeable("'input'", "sound, or a file that the model reads itself", "input")
    yield (TextPart(_BETWEEN.join(part.text for part in parts if isinstance(part, TextPart))),)
    yield from ((part,) for part in parts if isinstance(part, ImagePart))


def _texts_of(message: Message) -> Iterator[str]:
    """All that the model wrote of it."""
    yield from filter(None, (message.reasoning, message.text, *(call.arguments for call in message.calls)))
    for part in message.parts:
        if isinstance(part, HostedPart):
            yield from (call.arguments for each in part.reads for call in each.calls)


def _said(deltas: Sequence[Delta]) -> str:
    """The same of what it is just writing."""
    pieces = ((_stream(delta), _words(delta)) for delta in single(deltas) if isinstance(delta, _SPEECH))
    runs = groupby(pieces, lambda piece: piece[0])
    return _BETWEEN.join("".join(words for _, words in run) for _, run in runs)


def _stream(delta: Delta) -> tuple[type[Delta], int]:
    """What a piece goes on with."""
    return type(delta), delta.index if isinstance(delta, CallArguments | HostedCode | HostedEnded) else 0


def _words(delta: Delta) -> str:
    match delta:
        case AudioDelta():
            return delta.transcript
        case HostedEnded(item=WebSearchCall(action=Search(queries=queries))):
            return _BETWEEN.join(queries or ())
        case HostedEnded(item=ImageGenerationCall(revised_prompt=prompt)):
            return prompt or ""
    return getattr(delta, "text", "")
