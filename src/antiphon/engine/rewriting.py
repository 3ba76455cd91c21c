"""Questions that a model puts into better words before files are searched for them (`rewrite_query`)."""

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from antiphon.backends.router import Route, Router
from antiphon.engine.calling.ask import complete
from antiphon.engine.warnings import Warning
from antiphon.model import Message, TextPart, Turn
from antiphon.protocol.errors import ApiError, InvalidRequest

log = structlog.get_logger()

_ASK = (
    "You write queries for a search engine over documents. Each line that you are given is what somebody "
    "asks. Rewrite each as a query: name its subject, keep names, numbers and the language, leave out "
    "pleasantries. Answer with the queries alone, one on a line, as many as you were given, in their order."
)
_LENGTH = 2048
"""Tokens that the answer may take, reasoning included."""
_LONGEST = 1_000
"""Characters of a query."""
_NUMBER = re.compile(r"^\s*(?:[-*•]|\d+[.):])\s+")
_QUOTES = "\"'`“”„«» \t"

NO_ANSWER = "the model did not answer"
NO_QUERY = "the model wrote no queries"


class Rewritten(NamedTuple):
    texts: Sequence[str]
    warning: Warning | None
    """Why they are what was asked."""
    tokens: int = 0
    """That the model took, as far as it tells."""


class QueryRewriter:
    """Asks one model, with one call for all questions, for so many seconds at most."""

    def __init__(self, router: Router, model: str | None, seconds: float) -> None:
        """`model`: by its name in requests; None: the one for what the server itself asks."""
        self._router = router
        self._model = model or router.house_model
        self._seconds = seconds

    async def rewrite(self, questions: Sequence[str]) -> Rewritten:
        """They stay as they are when the model does not answer, or with anything else. Raises InvalidRequest
        when there is no model."""
        route = self._route()
        lines = "\n".join(" ".join(question.split()) for question in questions)
        turn = Turn(
            model=route.model,
            messages=(Message("system", (TextPart(_ASK),)), Message("user", (TextPart(lines),))),
            max_tokens=_LENGTH,
            whole=True,
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer = await complete(route.backend.stream, turn)
        except (ApiError, TimeoutError) as fault:
            log.warning("queries were not rewritten", model=self._model, reason=str(fault) or "time-out")
            return Rewritten(questions, Warning("rewrite_query", NO_ANSWER))
        found = _queries(answer.text)
        tokens = 0 if answer.usage is None else answer.usage.input_tokens + answer.usage.output_tokens
        if len(found) != len(questions):
            return Rewritten(questions, Warning("rewrite_query", NO_QUERY), tokens)
        return Rewritten(found, None, tokens)

    def _route(self) -> Route:
        said = "'rewrite_query' needs a model: `rewrite_model` of [tools.file_search] names one"
        if self._model is None:
            raise InvalidRequest(f"{said}.", param="rewrite_query")
        try:
            return self._router.resolve(self._model)
        except InvalidRequest as fault:
            raise InvalidRequest(
                f"{said}, and nobody answers to '{self._model}'.", param="rewrite_query"
            ) from fault


def _queries(answer: str) -> list[str]:
    """The lines of an answer, without the numbers and quotation marks that models like to add."""
    lines = (_NUMBER.sub("", line).strip(_QUOTES)[:_LONGEST] for line in answer.splitlines())
    return [line for line in lines if line]
