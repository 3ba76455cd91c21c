"""The spans of a response: of all of it, of each turn of its model, of each call that the server runs.

Names follow OpenTelemetry's conventions for generative AI; what these have no name for begins with `PREFIX`.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.engine.span_content import reason
from antiphon.model import Turn, UsageDelta
from antiphon.store.activity import ActivityRow
from antiphon.telemetry.histograms import FIRST_CHUNK, OPERATION, TOKENS
from antiphon.telemetry.tracing import CURRENT, OFF, KeptSpan, Span, Tracer, Value
from antiphon.tools.base import ServerCall

PREFIX = "antiphon"
_TOKENS_OF = "gen_ai.token.type"
_RESPONSE = "invoke_agent"
_STORES = frozenset({"file_search"})
"""Functions that look things up in what is kept here."""


def responding() -> AbstractAsyncContextManager[object]:
    """The span of a response that is made now."""
    span = CURRENT.get()
    return OFF if span is None else span.begin(_RESPONSE, "server", {OPERATION: _RESPONSE})


def resuming(tracer: Tracer, kept: KeptSpan | None) -> Span:
    """The span of a response in the background, wherever it began."""
    span = tracer.resume(_RESPONSE, "server", kept)
    span.set({OPERATION: _RESPONSE})
    return span


def planned(project: str, response_id: str, caller: ModelCaller, *, stored: bool) -> None:
    """What is known of a response when it begins."""
    span = CURRENT.get()
    if span is not None:
        span.set({"gen_ai.provider.name": caller.provider, "gen_ai.response.id": response_id})
        span.belong(project, stored=stored)


def asking(turn: Turn) -> AbstractContextManager[Span | None]:
    """The span of a turn."""
    span = CURRENT.get()
    if span is None:
        return OFF
    return span.begin(f"chat {turn.model}", "client", {OPERATION: "chat", "gen_ai.request.model": turn.model})


def answered(
    span: Span,
    caller: ModelCaller,
    finished: str | None,
    usage: UsageDelta | None,
    first: float | None = None,
) -> None:
    """What came of a turn, as far as it came. `first`: when it began to, in seconds since the epoch; None: it
    did not, or nobody looked."""
    span.set(dict(_answer(caller, finished, usage)))
    if first is not None:
        span.set({"gen_ai.response.time_to_first_chunk": first - span.began})
        span.measure(FIRST_CHUNK, first - span.began)
    if usage is not None:
        span.measure(TOKENS, usage.input_tokens, {_TOKENS_OF: "input"})
        span.measure(TOKENS, usage.output_tokens, {_TOKENS_OF: "output"})


def _answer(
    caller: ModelCaller, finished: str | None, usage: UsageDelta | None
) -> Iterator[tuple[str, Value]]:
    backend, model = caller.source()
    yield "gen_ai.provider.name", caller.provider
    yield "gen_ai.response.model", model
    yield f"{PREFIX}.backend", backend
    if finished is not None:
        yield "gen_ai.response.finish_reasons", [reason(finished)]
    if usage is not None:
        yield from usage_of(usage)


def usage_of(used: UsageDelta | ActivityRow) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.usage.input_tokens", used.input_tokens
    yield "gen_ai.usage.output_tokens", used.output_tokens
    if used.cached_tokens:
        yield "gen_ai.usage.cache_read.input_tokens", used.cached_tokens
    if used.reasoning_tokens:
        yield "gen_ai.usage.reasoning.output_tokens", used.reasoning_tokens


def calling(call: ServerCall) -> Span | None:
    """The span of a call that the server runs. `called` ends it."""
    span = CURRENT.get()
    if span is None:
        return None
    attributes = {
        OPERATION: "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.type": "datastore" if call.name in _STORES else "extension",
    }
    begun = span.begin(f"execute_tool {call.name}", "internal", attributes)
    begun.leave()
    return begun


def called(span: Span, kind: str, outcome: str, ago: float) -> None:
    """A call ended so many seconds ago. `kind`: the type of its item."""
    span.set({f"{PREFIX}.item.type": kind})
    if outcome != "completed":
        span.fail(outcome)
    span.end(ago)
