"""Names of things: a prefix that names the kind, then hex digits that cannot be guessed.

The first eight digits are the time in seconds, as on the real API, and three more its fraction: so what is
stored together lies together in the store's indexes, also when a second sees thousands of responses, and a
write touches few pages of them. The items of a response share a leading run of its digits (50 digits in all);
the 32 digits after the run are random for each.
"""

import os
import secrets
import time

from antiphon.protocol.items import INPUT_ITEMS, NewId

TIME = 11
_FRACTION = 16**3
"""Of a second: the last three digits of the time."""
RUN = 18
LENGTH = 50
CONVERSATION_LENGTH = 48

_CHUNK = 40  # as many as an id needs at most, beside its time
_CHUNKS = 256
_chunks: list[str] = []
"""Random digits in stock: a system call for each id makes the event loop wait for the other threads."""
# A child that is forked must not give out what its parent gives out too.
os.register_at_fork(after_in_child=_chunks.clear)


def new_response_id() -> str:
    return "resp_" + _digits(LENGTH)


def new_conversation_id() -> str:
    return "conv_" + _digits(CONVERSATION_LENGTH)


def new_prompt_id() -> str:
    return "pmpt_" + _random(LENGTH)


def new_vector_store_id() -> str:
    return "vs_" + _random(32)


def new_file_batch_id() -> str:
    return "vsfb_" + _random(32)


def new_container_id() -> str:
    return "cntr_" + _random(48)


def new_container_file_id() -> str:
    return "cfile_" + _random(32)


def new_skill_id() -> str:
    return "skill_" + _random(48)


def new_skill_version_id() -> str:
    return "skillver_" + _random(48)


def new_blob_name() -> str:
    """Of bytes that have no id of their own."""
    return "blob_" + _random(32)


def new_event_id() -> str:
    """Of an event that a webhook delivers."""
    return "evt_" + _random(32)


def new_delivery_id() -> str:
    """Of an event on its way to one endpoint: the header `webhook-id`."""
    return "wh_" + _random(32)


def new_key_id() -> str:
    return "key_" + _random(32)


def new_webhook_endpoint_id() -> str:
    return "we_" + _random(48)


def new_steer_id() -> str:
    return "steer_" + _random(32)


def new_moderation_id() -> str:
    return "modr_" + _random(32)


def new_item_id(item_type: str) -> str:
    """An id for an item of the given type that belongs to no response."""
    return f"{INPUT_ITEMS[item_type].prefix}_{_digits(LENGTH)}"


def item_ids(owner: str) -> NewId:
    """Makes the ids of the items of a response, of which `owner` is the id."""
    run = owner.partition("_")[2][:RUN]
    return lambda item_type: f"{INPUT_ITEMS[item_type].prefix}_{run}{_random(LENGTH - RUN)}"


def _digits(length: int) -> str:
    return f"{int(time.time() * _FRACTION):0{TIME}x}" + _random(length - TIME)


def _random(length: int) -> str:
    """So many hex digits from the system's source of randomness, each given out once: `pop` is atomic."""
    try:
        digits = _chunks.pop()
    except IndexError:
        fresh = secrets.token_hex(_CHUNK // 2 * _CHUNKS)
        _chunks.extend([fresh[at : at + _CHUNK] for at in range(0, len(fresh), _CHUNK)])
        return _random(length)
    return digits[:length] if length <= _CHUNK else digits + _random(length - _CHUNK)


def new_file_id() -> str:
    return "file-" + _alphanumeric(22)


def new_upload_id() -> str:
    return "upload_" + _random(LENGTH)


def new_part_id() -> str:
    return "part_" + _random(LENGTH)


_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def new_call_id() -> str:
    return "call_" + _alphanumeric(24)


def _alphanumeric(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def new_request_id() -> str:
    return "req_" + _random(32)
