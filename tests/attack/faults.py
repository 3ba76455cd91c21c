"""What the server says is broken, by its kind: which of that may be.

The upstream of the attack is up, and answers. So a 5xx is a fault of ours unless it names an outage that the
attack brought about, and a response that failed must say what its model owed.
"""

import re
from typing import Any, NamedTuple

import msgspec

Json = Any

OUTAGES = (
    "sent more than … bytes for one answer (limits.answer_bytes)",
    "The requests that are being answered fill the memory that they may have",
)
"""What a 5xx may say, and a response that broke off."""
DEBTS = (
    "The model's answer did not fit its schema",
    "The model's call was not valid",
    "The model wrote a call that is not valid",
)
"""What else a failed response may say: the model, which answers whatever it likes, owed a form."""
_VARIES = re.compile(r"\d[\d,.]*|(?<!\w)'[^']*'|\"[^\"]*\"")
_LONGEST = 90


class Fault(NamedTuple):
    """A kind of fault."""

    status: int
    """200: of a response that failed."""
    code: str
    words: str
    """Its message without what differs from one to the next."""
    allowed: bool
    """Whether that may be."""


def fault_of(status: int, error: Json) -> Fault:
    """The kind of a fault, by the member `error` of what was answered."""
    error = error if isinstance(error, dict) else {}
    words = _VARIES.sub("…", str(error.get("message")))
    allowed = any(known in words for known in (OUTAGES if status >= 500 else (*OUTAGES, *DEBTS)))
    return Fault(status, str(error.get("code") or error.get("type")), words[:_LONGEST], allowed)


def failure_in(body: bytes) -> Json:
    """The error of a response that failed, in an answer or a stream; None: none did."""
    if b'"status":"failed"' not in body:
        return None
    for line in body.split(b"\n"):
        response = _response_in(line.removeprefix(b"data: "))
        if response.get("status") == "failed":
            return response.get("error")
    return None


def _response_in(line: bytes) -> Json:
    if b'"status":"failed"' not in line:
        return {}
    said = msgspec.json.decode(line)
    return said.get("response") or said
