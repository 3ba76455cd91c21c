"""Signatures of the Standard Webhooks scheme, as the clients of OpenAI check them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def headers(keys: Sequence[bytes], delivery_id: str, now: float, body: bytes) -> dict[str, str]:
    """What goes with the body. Receivers refuse a time that is minutes away from theirs: each attempt is
    signed anew, with each key: a receiver that knows one of them is content. `now`: seconds since the
    epoch."""
    timestamp = str(int(now))
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(key, delivery_id, timestamp, body)}" for key in keys),
    }


def _signature(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
