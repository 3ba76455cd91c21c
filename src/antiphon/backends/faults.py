"""What an error body says, whoever wrote it: its words, its code, the status that it means, and how long to
wait. The forms are those of docs/internals/upstreams.md section 17."""

import re
from typing import Any, Final

import msgspec

from antiphon.model.json_text import read_json

_MESSAGES: Final = (
    "message",
    "Message",
    "detail",
    "error",
    "error_message",
    "error_msg",
    "msg",
    "status_msg",
)
_WITHIN: Final = ("error", "errors", "base_resp")
"""Where the fault stands in a body, if it has a place of its own."""
_PROXIES: Final = 2
"""One behind the other, of which the last says what went wrong."""
_NOTHING: Final = (None, "", True, False)
_LONGEST: Final = 300
_DATA: Final = b"data:"
_WAIT: Final = re.compile(
    r"\b(?:try again|retry|wait)(?: in| after)?:? (?:(?P<minutes>\d{1,4})m)?"
    r"(?P<count>\d{1,6}(?:\.\d{1,9})?) ?(?P<unit>ms|milliseconds|s\b|sec|second|seconds)",
    re.I,
)
"""How servers say in words when to come back: "Please try again in 1m7.66s.", "retry after 26 seconds"."""
_MILLISECONDS: Final = ("ms", "milliseconds")
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s\Z")


class Fault(msgspec.Struct, frozen=True):
    """What an error body says."""

    message: str = ""
    code: str = ""
    status: int = 0
    wait: float | None = None
    """Seconds after which the server may be asked again."""
    generated: str | None = None
    """What the model wrote, where that is what was wrong."""

    def speaks_of(self, phrases: tuple[str, ...]) -> bool:
        words = f"{self.code} {self.message}".lower()
        return any(phrase in words for phrase in phrases)


def read(body: bytes, proxies: int = _PROXIES) -> Fault:
    """The fault in an error body of any of the usual forms, from behind so many proxies at most."""
    decoded = read_json(body)
    if isinstance(decoded, list) and decoded:  # Gemini
        decoded = decoded[0]
    return _fault(decoded, proxies) if isinstance(decoded, dict) else Fault()


def _fault(decoded: dict[str, Any], proxies: int) -> Fault:
    said = next(filter(None, (_object(decoded.get(name)) for name in _WITHIN)), decoded)
    behind = _behind(said, proxies) if proxies else None
    if behind is not None and behind.message:
        return behind
    message = next((_text(said[name]) for name in _MESSAGES if said.get(name) not in _NOTHING), "")
    code = said.get("code") if isinstance(said.get("code"), str) else said.get("type")
    generated = said.get("failed_generation")
    status = next(filter(None, (_status(said.get(n)) for n in ("code", "status", "status_code"))), 0)
    wrote = generated if isinstance(generated, str) else None
    return Fault(message, str(code or ""), status, _wait(said, message), wrote)


def _object(value: Any) -> dict[str, Any] | None:
    """An object, or the first of a list of them that have words."""
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, dict) and each.get("message")), None)
    return value if isinstance(value, dict) else None


def _behind(said: dict[str, Any], proxies: int) -> Fault:
    """What the server behind a proxy said, which tells more than that it failed (OpenRouter)."""
    metadata = _object(said.get("metadata")) or {}
    raw = metadata.get("raw")
    body = raw.encode(errors="replace") if isinstance(raw, str) else msgspec.json.encode(raw)
    found = read(body.removeprefix(_DATA).strip(), proxies - 1) if raw else Fault()
    if not found.message and isinstance(raw, str) and not raw.lstrip().startswith("<"):
        found = Fault(raw.strip()[:_LONGEST])
    status = _status(said.get("code")) or found.status
    return msgspec.structs.replace(found, status=status, wait=found.wait or _wait(metadata, found.message))


def _status(value: Any) -> int:
    """An HTTP status, which some write as text."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) == 3 else value
    return number if isinstance(number, int) and 400 <= number < 600 else 0


def _wait(said: dict[str, Any], message: str) -> float | None:
    """Seconds, where the body says when to come back and not the head: in a member, or in words."""
    told = said.get("retry_after", said.get("retry_after_seconds"))
    if isinstance(told, int | float) and 0 <= told < 1e6:
        return float(told)
    details = said.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None  # Gemini
        if isinstance(delay, str) and (found := _DURATION.match(delay)):
            return float(found[1])
    return _wait_in(message)


def _wait_in(message: str) -> float | None:
    found = _WAIT.search(message)
    if found is None:
        return None
    count = float(found["count"]) / (1000 if found["unit"].lower() in _MILLISECONDS else 1)
    return int(found["minutes"] or 0) * 60 + count


def _text(message: object) -> str:
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()[:_LONGEST]
