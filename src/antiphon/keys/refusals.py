"""What a client hears whose key may not: words, codes and headers as the real API has them."""

import math
import re

from antiphon.protocol.errors import QuotaExceeded, RateLimited, RequestsExceeded, TokensExceeded
from antiphon.store.allowances import MINUTE, Allowance

Headers = list[tuple[bytes, bytes]]


def over(name: str, allowance: Allowance, used: int, wanted: int, seconds: float) -> RateLimited:
    """`used` of it, `wanted` more than there is for so many seconds."""
    if allowance.window != "minute":
        return QuotaExceeded(
            f"You exceeded your current quota: API key '{name}' may use {allowance.limit} tokens a "
            f"{allowance.window} (its token_budget): Used {used}, Requested {wanted}. A new one "
            "begins at midnight, UTC.",
            code="insufficient_quota",
            retry_after=seconds,
        )
    said = (
        f"Limit {allowance.limit}, Used {used}, Requested {wanted}. Please try again in {duration(seconds)}."
    )
    reached = f"Rate limit reached for API key '{name}' on"
    wait = min(float(MINUTE), math.ceil(seconds))  # the SDK heeds no more than a minute
    if allowance.kind == "requests":
        message = f"{reached} requests per min (RPM, its requests_per_minute): {said}"
        return RequestsExceeded(message, code="rate_limit_exceeded", retry_after=wait)
    message = f"{reached} tokens per min (TPM, its tokens_per_minute): {said}"
    return TokensExceeded(message, code="rate_limit_exceeded", retry_after=wait)


def busy(name: str, most: int) -> RateLimited:
    """So many are answered now."""
    return RequestsExceeded(
        f"Rate limit reached for API key '{name}' on requests at once (its concurrency): Limit {most}. "
        "Please try again when one of them is answered.",
        code="rate_limit_exceeded",
        retry_after=1.0,
    )


def headers(allowance: Allowance, used: int, seconds: float) -> Headers:
    """What each answer says of an allowance; `seconds`: until all of it is there again."""
    kind = allowance.kind.encode()
    return [
        (b"x-ratelimit-limit-" + kind, b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % max(0, allowance.limit - used)),
        (b"x-ratelimit-reset-" + kind, duration(seconds).encode()),
    ]


def duration(seconds: float) -> str:
    """As the real API says it: `12ms`, `1.5s`, `6m0s`, `2h0m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds > 0 else "0s"
    minutes, rest = divmod(round(seconds, 3), 60)
    said = re.sub(r"\.?0+$", "", f"{rest:.3f}") or "0"
    if not minutes:
        return f"{said}s"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{said}s" if hours else f"{minutes}m{said}s"
