"""What travels with the client instead of being stored: sealed, so that only this installation reads it.

AEAD (AES-256-GCM) with a key of this installation, bound to the project and to what the content is
for: a text sealed for one project, or as one kind of content, opens for no other.
"""

import base64
import hmac
import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE = 12
KEY_BYTES = 32


class Seal:
    """Seals and opens texts."""

    def __init__(self, key: bytes) -> None:
        """Raises ValueError for a `key` that is not of KEY_BYTES."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key of {len(key)} bytes, not of {KEY_BYTES}")
        self._key = key
        self._signing_key = hmac.digest(key, b"signing", "sha256")

    @classmethod
    def at(cls, path: Path) -> "Seal":
        """The seal whose key is in this file, made when it is not there yet. Safe for several processes
        that start together: the first one to link its key in place wins."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls(path.read_bytes())

    def seal(self, project: str, kind: str, text: str) -> str:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._aead.encrypt(nonce, text.encode(), _bound(project, kind))
        return base64.urlsafe_b64encode(_VERSION + nonce + sealed).decode()

    def open(self, project: str, kind: str, sealed: str) -> str | None:
        """The text; None when it was not sealed here, for this project, as this kind."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.urlsafe_b64decode(sealed.encode())
            if raw[:1] != _VERSION:
                return None
            nonce, body = raw[1 : 1 + _NONCE], raw[1 + _NONCE :]
            return self._aead.decrypt(nonce, body, _bound(project, kind)).decode()
        except (ValueError, InvalidTag):
            return None

    @cached_property
    def _aead(self) -> "AESGCM":
        """Seven megabytes, which a server does without that seals nothing."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)

    def sign(self, project: str, kind: str, content: bytes) -> str:
        """Hex digits that nobody can make but this installation, for this project and this kind."""
        return hmac.digest(self._signing_key, _bound(project, kind) + b"\0" + content, "sha256").hex()


def _bound(project: str, kind: str) -> bytes:
    return f"{kind}\0{project}".encode()
