"""Functions for models that know none, or that cannot be forced to call one; and grammars for the text of
calls that are forced, which no server knows for functions.

`hermes` says how functions read in text; `text_calls` finds the calls in what the model writes freely,
`splitters` those in an answer that is held to a form.
"""

from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress

from msgspec.structs import replace

from antiphon.backends import hermes
from antiphon.backends.around import Around
from antiphon.backends.offer import Offer, has_hosted, offered
from antiphon.backends.splitters import NamedSplitter, ObjectSplitter, TextSplitter
from antiphon.backends.text_calls import TextCalls
from antiphon.model import (
    Backend,
    CallStarted,
    Capabilities,
    Delta,
    Deltas,
    Finished,
    Format,
    Function,
    Grammar,
    JsonSchema,
    Message,
    NamedFunction,
    OpaqueDelta,
    Overrated,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.protocol.errors import ModelFault

_MOST_TAKERS = 256
"""Clients may choose the names of models."""


class EmulatedTools(Around):
    """A backend whose every model can be given functions, and be made to call one. Turns that need no help
    pass untouched."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._known = (Capabilities(), Capabilities())
        """What a model can by itself and with help, as it was asked for last: mostly that holds for all."""
        self._takers: set[str] = set()
        """Models that have answered to functions: their server surely takes them."""

    def capabilities(self, model: str) -> Capabilities:
        can, helped = self._known
        now = self.inner.capabilities(model)
        if now is not can:
            helped = replace(now, tools=True, forced_tools=True)
            self._known = now, helped
        return helped

    def stream(self, turn: Turn) -> Deltas:
        plain = not turn.functions and turn.choice in ("auto", "none")
        if plain and self.inner.capabilities(turn.model).tools:
            return self.inner.stream(turn)
        if self._needs_help(turn):
            return self._emulate(turn)
        if _is_forced(turn):
            return self._forced(turn)
        return self.inner.stream(turn) if turn.model in self._takers else self._tried(turn)

    async def count_tokens(self, turn: Turn) -> int | None:
        return await self.inner.count_tokens(self._rewritten(turn)[0] if self._needs_help(turn) else turn)

    def _needs_help(self, turn: Turn) -> bool:
        can = self.inner.capabilities(turn.model)
        if not can.tools:
            return bool(turn.functions) or any(m.calls or m.role == "tool" for m in turn.messages)
        return _is_forced(turn) and (not can.forced_tools or self._grammar(turn) is not None)

    def _grammar(self, turn: Turn) -> Grammar | None:
        """The grammar that the model can be held to, since its answer must be a call of one function."""
        functions = offered(turn) if isinstance(turn.choice, NamedFunction) else ()
        grammar = functions[0].grammar if functions else None
        can = self.inner.capabilities(turn.model)
        able = grammar is not None and (can.grammar if grammar.syntax == "lark" else can.regex)
        return grammar if able else None

    def _rewritten(self, turn: Turn) -> tuple[Turn, "_Filter | None"]:
        """The turn without functions, and what finds the calls in its answer."""
        functions = offered(turn)
        if not functions:
            messages = tuple(hermes.remembered(turn.messages))
            return replace(turn, messages=messages, functions=(), choice="auto"), None
        form = self._held_to(turn)
        return _asked(turn, form), _filter(turn, functions, form)

    def _held_to(self, turn: Turn) -> JsonSchema | Grammar | None:
        """What the model's answer can be held to; None: nothing but words."""
        held = self.inner.capabilities(turn.model).json_schema
        return self._grammar(turn) or (_form(turn, offered(turn)) if held else None)

    def _ways(self, turn: Turn) -> "Iterator[tuple[Turn, _Filter]]":
        """How a forced call is asked for, one way after another. A server may take a form and not keep it."""
        functions, form = offered(turn), self._held_to(turn)
        if form is not None:
            yield _asked(turn, form), _filter(turn, functions, form)
        in_words = _asked(turn, None)
        yield in_words, _filter(turn, functions, None)
        yield _reminded(in_words), _filter(turn, functions, None)

    async def _forced(self, turn: Turn) -> Deltas:
        """A forced call is left to the server, and made here when the server, or its model, does not."""
        answer = _Owed()
        try:
            async with aclosing(self.inner.stream(turn)) as batches:
                async for batch in batches:
                    yield answer.take(batch)
        except Overrated:
            if not self._needs_help(turn):
                raise
        if answer.given:
            yield answer.rest()
            return
        async with aclosing(self._emulate(turn)) as batches:
            async for batch in batches:
                yield answer.with_usage(batch)

    async def _tried(self, turn: Turn) -> Deltas:
        """A server may say only now that its model knows no functions."""
        try:
            async with aclosing(self.inner.stream(turn)) as batches:
                with suppress(StopAsyncIteration):
                    pour = None
                    while True:
                        batch = await batches.asend(pour)
                        if len(self._takers) < _MOST_TAKERS:
                            self._takers.add(turn.model)
                        pour = yield batch
            return
        except Overrated:
            if not self._needs_help(turn):
                raise
        async with aclosing(self._emulate(turn)) as batches:
            async for batch in batches:
                yield batch

    async def _emulate(self, turn: Turn) -> Deltas:
        if _is_forced(turn) and offered(turn):
            answer = self._insist(turn)
        else:
            rewritten, calls = self._rewritten(turn)
            said = self.inner.stream(rewritten)
            answer = said if calls is None else _filtered(said, calls)
        async with aclosing(answer) as batches:
            async for batch in batches:
                yield batch

    async def _insist(self, turn: Turn) -> Deltas:
        """A forced call is asked for until it comes. Raises ModelFault when it does not."""
        answer = _Owed()
        for asked, calls in self._ways(turn):
            before, answer = answer, _Owed()
            async with aclosing(_filtered(self.inner.stream(asked), calls)) as batches:
                async for batch in batches:
                    yield answer.take(before.with_usage(batch))
            if answer.given:
                yield answer.rest()
                return
        yield answer.cost
        raise ModelFault(
            "The model had to call a function, and answered in words: its server neither forces calls nor "
            "holds answers to a JSON schema."
        )


def _asked(turn: Turn, form: JsonSchema | Grammar | None) -> Turn:
    """The turn without functions: what they are is said, and how they are called."""
    said = hermes.described(turn, offered(turn), form)
    return replace(
        turn,
        messages=tuple(hermes.instructed(hermes.remembered(turn.messages), said)),
        functions=(),
        choice="auto",
        format=form or ("text" if _is_forced(turn) else turn.format),
        whole=False,  # we hang up behind the calls: what comes then is not wanted
    )


_WAITING = TextDelta | OpaqueDelta | UsageDelta | Finished


class _Owed:
    """An answer that owes a call: what it says before one waits, since without one it does not count."""

    def __init__(self) -> None:
        self._called = False
        self._cut = False
        self._held: list[Delta] = []
        self._usage: UsageDelta | None = None

    @property
    def given(self) -> bool:
        """Whether it counts: there is a call, or it was cut short."""
        return self._called or self._cut

    def take(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        """Take a batch; what of it may be passed on now."""
        out: list[Delta] = []
        for delta in batch:
            if isinstance(delta, CallStarted):
                self._called = True
                out += self.rest()
            if isinstance(delta, UsageDelta):
                self._usage = delta
            if isinstance(delta, Finished):
                self._cut = delta.reason in ("length", "content_filter")
            waits = isinstance(delta, _WAITING) and not self._called
            (self._held if waits else out).append(delta)
        return out

    def rest(self) -> list[Delta]:
        held, self._held = self._held, []
        return held

    @property
    def cost(self) -> list[Delta]:
        """What is left of an answer that is given up."""
        return [] if self._usage is None else [self._usage]

    def with_usage(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        """A batch of the answer that was given instead: what the first cost counts too."""
        if self._usage is None:
            return batch
        return [self._usage.plus(delta) if isinstance(delta, UsageDelta) else delta for delta in batch]


async def _filtered(answer: Deltas, calls: "_Filter") -> Deltas:
    """An answer, as it is behind a filter."""
    async with aclosing(answer) as batches:
        async for batch in batches:
            out = calls.feed(batch)
            if calls.done:
                yield [*out, Finished("calls")]
                return
            if out:
                yield out


def _reminded(turn: Turn) -> Turn:
    """The turn, with the words that a call is all that counts."""
    reminder = Message("user", (TextPart(hermes.REMINDER),))
    return replace(turn, messages=(*turn.messages, reminder))


def _is_forced(turn: Turn) -> bool:
    """Whether a function must be called. What the model's server runs itself it is left to: nobody else can
    make such a call."""
    return turn.is_forced and not has_hosted(turn)


def _form(turn: Turn, functions: Sequence[Function]) -> JsonSchema | None:
    """What the answer is held to; None for free text."""
    if isinstance(turn.choice, NamedFunction):
        return hermes.arguments_form(functions[0])
    if turn.choice == "required":
        return hermes.call_form(functions)
    answer = _answer_schema(turn.format)
    return None if answer is None else hermes.call_form(functions, answer)


def _answer_schema(form: Format) -> dict[str, object] | None:
    if isinstance(form, JsonSchema):
        return form.schema
    return {"type": "object"} if form == "json_object" else None


def _filter(turn: Turn, functions: Sequence[Function], form: JsonSchema | Grammar | None) -> "_Filter":
    if isinstance(form, Grammar):
        return _Form(TextSplitter(functions[0].name))
    if form is None:
        return TextCalls(turn, most=None if turn.parallel else 1)
    if isinstance(turn.choice, NamedFunction):
        return _Form(NamedSplitter(functions[0].name))
    return _Form(ObjectSplitter(Offer(functions)))


class _Form:
    """An answer that is held to a form."""

    done = False

    def __init__(self, splitter: NamedSplitter | TextSplitter | ObjectSplitter) -> None:
        self._splitter = splitter
        self._usage: list[Delta] = []
        """Waits for what the splitter still holds back."""

    def feed(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        out: list[Delta] = []
        for delta in single(batch):
            if isinstance(delta, TextDelta):
                self._splitter.feed(delta.text, delta.logprobs, out)
            elif isinstance(delta, UsageDelta):
                self._usage.append(delta)
            elif isinstance(delta, Finished):
                self._splitter.finish(out, cut=delta.reason == "length")
                reason = "calls" if self._splitter.calls and delta.reason == "stop" else delta.reason
                out += (*self._usage, Finished(reason))
            else:
                out.append(delta)
        return out


_Filter = TextCalls | _Form
"""What finds the calls in an answer. `done`: the rest of it is not wanted."""
