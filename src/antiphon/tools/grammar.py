"""Whether a text is in the language of a grammar: lark or regex, as llguidance reads them.

The same engine is behind the grammars of the real API, of llama.cpp and of vLLM, so what is accepted here is
what they can be held to. Regular expressions have the syntax of Rust's regex crate and match the whole text.

Grammars come from strangers, and a small one can be more than a compiler's stack, or than all time, has room
for: they are compiled and used in child processes.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from antiphon.guard.pool import Overrun, Pool
from antiphon.tools.verdicts import Verdicts

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Syntax = Literal["lark", "regex"]
MOST_BYTES = 128 * 1024
"""Of a grammar."""
_KEPT = 64
"""How many grammars stay compiled in a child."""
_LONGEST = 1000
"""Characters of what the compiler says."""
_SHOWN = 40
"""How much text before a fault is quoted."""
_HERE = f"{__name__}:"


class Grammar:
    """A grammar. Whether it is one is said by `fault`."""

    def __init__(self, syntax: Syntax, definition: str, pool: Pool, owner: str = "") -> None:
        """`owner`: whose work it is, for the pool."""
        self._syntax: Syntax = syntax
        self._definition = definition
        self._pool = pool
        self._owner = owner

    async def fault(self) -> str | None:
        """What is wrong with the grammar itself, in words; None: it can be used."""
        source = self._definition.encode(errors="replace")
        if len(source) > MOST_BYTES:
            return f"it is longer than {MOST_BYTES} bytes."
        try:
            return await _verdicts.of(self._syntax.encode() + source, self._compiled)
        except Overrun:
            return "it is too complex: it could not be compiled within this server's limits."

    async def fault_of(self, text: str) -> str | None:
        """Why the text does not match, in words for the model that wrote it; None: it does."""
        try:
            fault: str | None = await self._pool.call(
                f"{_HERE}fault_of_text", self._syntax, self._definition, text, owner=self._owner
            )
        except Overrun:
            return "It could not be checked against the grammar within this server's limits: write less."
        return fault

    async def _compiled(self) -> str | None:
        """Raises Overrun."""
        fault: str | None = await self._pool.call(
            f"{_HERE}fault_of_grammar", self._syntax, self._definition, owner=self._owner
        )
        return fault


_verdicts = Verdicts(1024)


# ---- what is done in a child ------------------------------------------------------------------------


def fault_of_grammar(syntax: Syntax, definition: str) -> str | None:
    """What is wrong with a grammar; None: it can be used."""
    matcher = _matcher(syntax, definition)
    return matcher.get_error().strip()[:_LONGEST] if matcher.is_error() else None


def fault_of_text(syntax: Syntax, definition: str, text: str) -> str | None:
    """Why the text does not match; None: it does."""
    matcher = _matcher(syntax, definition).deep_copy()
    written = text.encode()
    read = matcher.try_consume_tokens(list(written))
    if read == len(written) and matcher.is_accepting():
        return None
    if matcher.is_error():
        return f"It could not be checked: {matcher.get_error().strip()[:_LONGEST]}"
    before = written[:read].decode(errors="ignore")
    if read == len(written):
        return f"It ends too early, after {_end(before)}."
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"It does not match at line {line}, column {column}, after {_end(before)}."


def _end(text: str) -> str:
    return repr(text[-_SHOWN:]) if text else "nothing"


@lru_cache(_KEPT)
def _matcher(syntax: Syntax, definition: str) -> "LLMatcher":
    from llguidance import LLMatcher

    make = LLMatcher.grammar_from_lark if syntax == "lark" else LLMatcher.grammar_from_regex
    return LLMatcher(_bytes(), make(definition), log_level=0)


@lru_cache(1)
def _bytes() -> "LLTokenizer":
    """A tokenizer whose tokens are bytes."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")
