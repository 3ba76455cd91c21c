"""An API key itself, which is nowhere kept, and the hash by which it is found."""

import hashlib
import secrets

PREFIX = "sk-antiphon-"


def new_secret() -> str:
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> str:
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
