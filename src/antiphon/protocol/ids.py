"""Names of things: a prefix that names the kind, then hex digits that cannot be guessed.

The first eight digits are the time in seconds, as on the real API, and three more its fraction: so what is
stored together lies together in the store's indexes, also when a second sees thousands of responses, and a
write touches few pages of them. The items of a response share a leading run of its digits (50 digits in all);
the 32 digits after the run are random for each.
"""

import os
import secrets
import string
import time
from collections.abc import Callable

from antiphon.protocol.items import INPUT_ITEMS, NewId

TIME = 11
_FRACTION = 16**3
"""Of a second: the last three digits of the time."""
RUN = 18
LENGTH = 50
CONVERSATION_LENGTH = 48
_ALPHANUMERIC = string.ascii_letters + string.digits

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


def new_call_id() -> str:
    return "call_" + _alphanumeric(24)


def _alphanumeric(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def _made_of(prefix: str, length: int) -> Callable[[], str]:
    """Makes names of a prefix and so many random digits."""
    return lambda: prefix + _random(length)


new_prompt_id = _made_of("pmpt_", LENGTH)
new_vector_store_id = _made_of("vs_", 32)
new_file_batch_id = _made_of("vsfb_", 32)
new_container_id = _made_of("cntr_", 48)
new_container_file_id = _made_of("cfile_", 32)
new_skill_id = _made_of("skill_", 48)
new_skill_version_id = _made_of("skillver_", 48)
new_key_id = _made_of("key_", 32)
new_webhook_endpoint_id = _made_of("we_", 48)
new_steer_id = _made_of("steer_", 32)
new_moderation_id = _made_of("modr_", 32)
new_upload_id = _made_of("upload_", LENGTH)
new_part_id = _made_of("part_", LENGTH)
new_request_id = _made_of("req_", 32)
new_blob_name = _made_of("blob_", 32)
"""Of bytes that have no id of their own."""
new_event_id = _made_of("evt_", 32)
"""Of an event that a webhook delivers."""
new_delivery_id = _made_of("wh_", 32)
"""Of an event on its way to one endpoint: the header `webhook-id`."""
