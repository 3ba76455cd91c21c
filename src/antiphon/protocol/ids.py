"""Names of things: a prefix that names the kind, then hex digits that cannot be guessed.

The first eight digits are the time, as on the real API: so what is stored together lies together in the
store's indexes, and a write touches few pages of them. The items of a response share a leading run of its
digits (50 digits in all); the 32 digits after the run are random for each.
"""

import secrets
import time

from antiphon.protocol.items import INPUT_ITEMS

TIME = 8
RUN = 18
LENGTH = 50
CONVERSATION_LENGTH = 48


def new_response_id() -> str:
    return "resp_" + _digits(LENGTH)


def new_conversation_id() -> str:
    return "conv_" + _digits(CONVERSATION_LENGTH)


def new_prompt_id() -> str:
    return "pmpt_" + secrets.token_hex(LENGTH // 2)


def new_event_id() -> str:
    """Of an event that a webhook delivers."""
    return "evt_" + secrets.token_hex(16)


def new_delivery_id() -> str:
    """Of an event on its way to one endpoint: the header `webhook-id`."""
    return "wh_" + secrets.token_hex(16)


def new_item_id(item_type: str, owner: str = "") -> str:
    """An id for an item of the given type. `owner` is the id of the response that it belongs to."""
    run = owner.partition("_")[2][:RUN]
    digits = run + secrets.token_hex((LENGTH - RUN) // 2) if run else _digits(LENGTH)
    return f"{INPUT_ITEMS[item_type].prefix}_{digits}"


def _digits(length: int) -> str:
    return f"{int(time.time()):0{TIME}x}" + secrets.token_hex((length - TIME) // 2)


def new_file_id() -> str:
    return "file-" + _alphanumeric(22)


def new_upload_id() -> str:
    return "upload_" + secrets.token_hex(LENGTH // 2)


def new_part_id() -> str:
    return "part_" + secrets.token_hex(LENGTH // 2)


_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def new_call_id() -> str:
    return "call_" + _alphanumeric(24)


def _alphanumeric(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def new_request_id() -> str:
    return "req_" + secrets.token_hex(16)
