"""Tokens with their logprobs, as all of OpenAI's streams have them."""

from collections.abc import Iterable

from msgspec import Struct

from antiphon.protocol.content import Logprob, TopLogprob


class TopToken(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None


class Token(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[TopToken] | None = None


def scored(tokens: Iterable[Token], top: int) -> tuple[Logprob, ...]:
    """The tokens as the API shows them, each with so many alternatives at most."""
    return tuple(
        Logprob(
            token=token.token,
            bytes=_bytes(token),
            logprob=_logprob(token),
            top_logprobs=[
                TopLogprob(token=other.token, bytes=_bytes(other), logprob=_logprob(other))
                for other in (token.top_logprobs or ())[:top]
            ],
        )
        for token in tokens
    )


def _logprob(token: Token | TopToken) -> float:
    """JSON has no minus infinity: servers write null, or OpenAI's own -9999."""
    return -9999.0 if token.logprob is None else token.logprob


def _bytes(token: Token | TopToken) -> list[int]:
    """Its bytes, also where the server does not say them."""
    return list(token.token.encode(errors="replace")) if token.bytes is None else token.bytes
