"""Tokens with their logprobs, as all of OpenAI's streams have them."""

from msgspec import Struct


class TopToken(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None


class Token(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[TopToken] | None = None


def logprob_of(token: Token | TopToken) -> float:
    """JSON has no minus infinity: servers write null, or OpenAI's own -9999."""
    return -9999.0 if token.logprob is None else token.logprob


def bytes_of(token: Token | TopToken) -> list[int]:
    """Its bytes, also where the server does not say them."""
    return list(token.token.encode(errors="replace")) if token.bytes is None else token.bytes
