"""The seal, as the configuration says whose key it has."""

import base64
import binascii
import os
from pathlib import Path

from antiphon.config import Config
from antiphon.context.seal import KEY_BYTES, Seal

_HOW = "`head -c 32 /dev/urandom | base64` makes a new one"


class BadSealingKey(Exception):
    """There is no key to seal with; the message says why."""


def seal_of(config: Config) -> Seal:
    """Raises BadSealingKey."""
    name, file = config.store.sealing_key_env, Path(config.data_dir) / "sealing.key"
    if name is not None:
        return Seal(_given(name))
    if config.store.is_shared:
        raise BadSealingKey(
            "With PostgreSQL, sealing_key_env of [store] must name the environment variable that holds the "
            "sealing key, the same on all servers: what one of them seals, such as background responses "
            f"that wait, the others could not open. {_HOW}; `base64 {file}` shows one that this server had."
        )
    return Seal.at(file)


def _given(name: str) -> bytes:
    text = os.environ.get(name, "").strip()
    if not text:
        raise BadSealingKey(f"sealing_key_env of [store] names {name}, which is not set. {_HOW}.")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadSealingKey(f"{name} (sealing_key_env of [store]) is no base64. {_HOW}.") from None
    if len(key) != KEY_BYTES:
        raise BadSealingKey(
            f"{name} (sealing_key_env of [store]) holds {len(key)} bytes, and must hold {KEY_BYTES}. {_HOW}."
        )
    return key
