"""Whether a text is in the language of a grammar: lark or regex, as llguidance reads them.

The same engine is behind the grammars of the real API, of llama.cpp and of vLLM, so what is accepted here is
what they can be held to. Regular expressions have the syntax of Rust's regex crate and match the whole text.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Syntax = Literal["lark", "regex"]
_KEPT = 128
"""How many grammars stay compiled."""
_SHOWN = 40
"""How much text before a fault is quoted."""


def fault_of_grammar(syntax: Syntax, definition: str) -> str | None:
    """What is wrong with a grammar; None: it can be used."""
    matcher = _matcher(syntax, definition)
    return matcher.get_error().strip() if matcher.is_error() else None


def fault_of_text(syntax: Syntax, definition: str, text: str) -> str | None:
    """Why the text does not match, in words for the model that wrote it; None: it does."""
    matcher = _matcher(syntax, definition).deep_copy()
    written = text.encode()
    read = matcher.try_consume_tokens(list(written))
    if read == len(written) and matcher.is_accepting():
        return None
    if matcher.is_error():
        return f"It could not be checked: {matcher.get_error().strip()}"
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
