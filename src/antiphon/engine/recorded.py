"""An exchange with an upstream as it is recorded: without secrets, and without what takes much room."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from yarl import URL

from antiphon.backends.tape import Exchange
from antiphon.store.recordings import Bodies, Mark, Recording

KEPT_BYTES: Final = 4 * 2**20
"""Of a body."""
_LARGE = 2**16
"""Bytes of a body of which pictures are left out."""
_LONG = 4096
"""Characters of base64 that are left out of large bodies, but for the first."""
_SHOWN = 64
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_REDACTED = "***"


def bodies(exchange: Exchange) -> Bodies:
    """Of an exchange that is over."""
    secrets = exchange.server.secrets
    return Bodies(kept(exchange.request, secrets), kept(exchange.answer, secrets))


def recording(exchange: Exchange, found: Bodies | None, marks: tuple[Mark, ...]) -> Recording:
    """Of an exchange that is over."""
    first, ended, began = exchange.first_at, exchange.ended_at, exchange.started_at
    return Recording(
        turn=exchange.turn,
        backend=exchange.server.name,
        method=exchange.method,
        url=shown(exchange.url),
        started_at=began,
        milliseconds=_milliseconds(began, ended or began),
        first_milliseconds=None if first is None else _milliseconds(began, first),
        status=exchange.status,
        content_type=exchange.content_type.partition(";")[0].strip().lower() or None,
        error=exchange.error,
        request_bytes=exchange.request_bytes,
        answer_bytes=exchange.answer_bytes,
        request_kept=None if found is None else len(found.request),
        marks=marks,
    )


def kept(body: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """A body without the secrets, and a large one without its pictures, as long as may be."""
    if len(body) > _LARGE:
        body = b"".join(_without_base64(body))
    for secret in secrets:
        body = body.replace(secret, _REDACTED.encode())
    return body[:KEPT_BYTES]


@lru_cache(maxsize=256)
def shown(url: URL) -> str:
    """Without user and password, and without the values of its query."""
    if url.raw_user or url.raw_password:
        url = url.with_user(None)
    if url.raw_query_string:
        url = url.with_query([(name, _REDACTED) for name in url.query])
    return str(url)


def _without_base64(body: bytes) -> Iterator[bytes]:
    """Pieces of JSON. Only strings that may be long are looked at: what lies between two quotes that are
    near each other is passed over."""
    at = 0
    while at < len(body):
        quote = body.rfind(b'"', at, at + _LONG)
        if quote >= 0:
            end = quote + 1
            yield body[at:end]
        else:
            end = body.find(b'"', at + _LONG)
            end = len(body) if end < 0 else end
            yield _shortened(body[at:end])
        at = end


def _shortened(string: bytes) -> bytes:
    """A string that is base64, alone or in a data URL, without most of it; any other as it is."""
    if len(string) < _LONG:
        return string
    place, comma, data = string.rpartition(b",")
    if data.translate(None, _BASE64):
        return string
    left_out = b"[%d characters of base64 are left out]" % (len(data) - _SHOWN)
    return place + comma + data[:_SHOWN] + left_out


def _milliseconds(began: float, at: float) -> int:
    return max(0, round((at - began) * 1000))
