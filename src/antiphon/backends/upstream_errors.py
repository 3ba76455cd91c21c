"""What an upstream's refusals and failures are in our own words. Our key never appears in them."""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from antiphon.backends.lessons import refuses_media
from antiphon.model.json_text import read_json
from antiphon.protocol.errors import (
    ApiError,
    InvalidRequest,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimeout,
)

MAX_BODY = 64 * 1024
_EXCERPT = 300
_NO_MODEL = (
    "invalid model name",
    r"^(invalid|unknown) model[^a-z]*NAME\W*$",
    r"NAME\W* is not a valid model",
    r"model\W*NAME\W* (does not exist|not found|is not found)",
    r"^model (not exist|not found|does not exist)\b",
)
"""How servers say in a 400 that they do not have a model."""
_MESSAGES = ("message", "detail", "error", "error_message", "error_msg", "msg")

POLICY = {
    "image_content_policy_violation": "image_content_policy_violation",
    "invalid_prompt": "invalid_prompt",
    "moderation_blocked": "invalid_prompt",
    "content_policy_violation": "invalid_prompt",
    "content_filter": "invalid_prompt",  # Azure
    "bio_policy": "bio_policy",
    "misalignment_policy_violation": "misalignment_policy_violation",
}
"""Codes by which servers refuse what their policy forbids, and those that a response has for it."""
_OF_INPUT = {
    code: code
    for code in (
        "data_residency_mismatch",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    )
}
"""Codes of failed responses that OpenAI's servers alone give: they look closer at images than we do."""
REFUSED = POLICY | _OF_INPUT
"""Codes of what stands in a request, and those that a response has for it."""
CONTEXT_PHRASES = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "available context size",
    "model's context length",
    "context window",
    "context length exceeded",
    "context the overflows",
    "input token count",
    "prompt is too long",
    "input is too long",
    "reduce the length of the messages",
)
"""How servers say, in any status or in the middle of a stream, that the prompt does not fit."""
TOO_LONG = "context_length_exceeded"
"""The code of an input that is longer than the model's window."""
_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
# What servers say of a path that they do not have, rather than of a model.
_NO_ROUTE = frozenset({"not found", "file not found", "404 page not found"})


class Fault(msgspec.Struct, frozen=True):
    """What an error body says."""

    message: str = ""
    code: str = ""
    status: int = 0

    def speaks_of(self, phrases: tuple[str, ...]) -> bool:
        words = f"{self.code} {self.message}".lower()
        return any(phrase in words for phrase in phrases)


def read(body: bytes) -> Fault:
    """The fault in an error body of any of the usual forms."""
    decoded = read_json(body)
    if isinstance(decoded, list) and decoded:  # Gemini
        decoded = decoded[0]
    if not isinstance(decoded, dict):
        return Fault()
    fault = decoded.get("error") or decoded
    if not isinstance(fault, dict):
        return Fault(str(fault))
    message = next((fault[name] for name in _MESSAGES if fault.get(name)), "")
    code = fault.get("code") if isinstance(fault.get("code"), str) else fault.get("type")
    status = next((fault[name] for name in ("code", "status") if isinstance(fault.get(name), int)), 0)
    return Fault(_text(message), str(code or ""), status)


def refused(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    where: str,
    model: str,
    phrases: tuple[str, ...] = CONTEXT_PHRASES,
    speaks: str = "Chat Completions",
) -> ApiError:
    """The error for an HTTP status that is no success. `speaks`: the API that was expected there."""
    fault = read(body)
    if fault.speaks_of(phrases):
        return too_long()
    if 400 <= status < 500 and fault.code in REFUSED:
        return _forbidden(fault)
    if status in (401, 403):
        return UpstreamRefusal(f"The upstream at {where} refuses our API key (HTTP {status}).")
    if status == 404 or (status in (400, 422) and _means_no_model(fault, model)):
        return _not_found(fault, where, model, speaks)
    if refuses_media(fault.message):
        return InvalidRequest(fault.message, param="input", code="unsupported_value")
    message = fault.message or _excerpt(body)
    said = f"The upstream at {where} answered with HTTP {status}" + (f": {message}" if message else ".")
    if status == 429:
        return _rate_limited(fault, said, headers)
    if status in (408, 504):
        return UpstreamTimeout(said)
    if 400 <= status < 500:
        return InvalidRequest(fault.message or said)
    return UpstreamError(said, retry_after=retry_after(headers))


def knows_no_path(status: int, body: bytes) -> bool:
    """Whether a refusal is about the path, whatever the request."""
    said = read(body).message.strip(" .").lower()
    return status in (405, 501) or (status == 404 and (not said or said in _NO_ROUTE))


def from_stream(event: bytes, phrases: tuple[str, ...] = CONTEXT_PHRASES) -> ApiError:
    """The error for an error object where a chunk should be."""
    fault = read(event)
    if fault.speaks_of(phrases):
        return too_long()
    if fault.code in REFUSED:
        return _forbidden(fault)
    message = f"The upstream failed: {fault.message or _excerpt(event)}"
    if fault.status == 429 or "rate_limit" in fault.code:
        return _rate_limited(fault, message, {})
    return UpstreamError(message)


def words_in(event: bytes) -> str:
    """What an object that is no answer says, if it says anything."""
    fault = read(event)
    return fault.message[:_EXCERPT]


def too_long() -> InvalidRequest:
    return InvalidRequest(_TOO_LONG, param="input", code=TOO_LONG)


def endless(where: str, most: int) -> UpstreamError:
    return UpstreamError(
        f"The upstream at {where} sent more than {most} bytes for one answer (limits.answer_bytes)."
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except ValueError:
        return None


def _forbidden(fault: Fault) -> InvalidRequest:
    message = fault.message or "The input was refused by the model's server."
    return InvalidRequest(message, param="input", code=REFUSED[fault.code])


def _rate_limited(fault: Fault, message: str, headers: Mapping[str, str]) -> RateLimited:
    code = "insufficient_quota" if fault.code == "insufficient_quota" else "rate_limit_exceeded"
    return RateLimited(message, code=code, retry_after=retry_after(headers))


def _not_found(fault: Fault, where: str, model: str, speaks: str) -> ApiError:
    if not fault.message or fault.message.strip(" .").lower() in _NO_ROUTE:
        return UpstreamRefusal(f"The upstream at {where} speaks no {speaks} there (HTTP 404).")
    return NotFound(f"The requested model '{model}' does not exist.", param="model", code="model_not_found")


def _means_no_model(fault: Fault, model: str) -> bool:
    """Whether a refusal says that there is no such model."""
    if fault.code == "model_not_found":
        return True
    words = fault.message.lower()
    name = re.escape(model.lower())
    return any(re.search(form.replace("NAME", name), words) for form in _NO_MODEL)


def _text(message: object) -> str:
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()[:_EXCERPT]


def _excerpt(body: bytes) -> str:
    """The beginning of a body, unless it is a page."""
    text = body[:_EXCERPT].decode(errors="replace").strip()
    return "" if text.startswith("<") else text
