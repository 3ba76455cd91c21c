"""What an upstream's refusals and failures are in our own words. Our key never appears in them."""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from antiphon.backends.faults import Fault, read
from antiphon.backends.lessons import refuses_media
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
_SENTENCE = 1000
"""Of a message, in which a model is looked for: names may be made of what the forms below run over."""
_NO_MODEL = (
    "invalid model name",
    r"^(invalid|unknown) model[^a-z]*NAME\W*$",
    r"NAME\W* is not a valid model",
    r"model\W*NAME\W* (does not exist|not found|is not found)",
    r"^model (not exist|not found|does not exist)\b",
)
"""How servers say in a 400 that they do not have a model."""

POLICY = {
    "image_content_policy_violation": "image_content_policy_violation",
    "invalid_prompt": "invalid_prompt",
    "moderation_blocked": "invalid_prompt",
    "content_policy_violation": "invalid_prompt",
    "content_filter": "invalid_prompt",  # Azure
    "data_inspection_failed": "invalid_prompt",  # DashScope
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
    "context limit",  # Anthropic
    "context size has been exceeded",  # llama.cpp, in the middle of an answer
    "longer than the maximum model length",  # vLLM
    "tokens) exceeds the maximum allowed length",  # SGLang
    "`inputs` tokens +",  # TGI
    "`inputs` must have less than",
    "greater than the context length",  # LM Studio
    "max context length",  # Ollama
    "exceeds the context length",
    "greater than max_seq_len",  # TabbyAPI
    "tokens exceed the configured limit",  # OpenAI
    "prompt token count",  # GitHub
    "tokens_limit_reached",
    "maximum prompt length",  # xAI
    "model token limit",  # Moonshot
    "prompt exceeds max length",  # Z.ai
    "range of input length",  # DashScope
    "tokens in the prompt cannot exceed",  # Cohere
)
"""How servers say, in any status or in the middle of a stream, that the prompt does not fit."""
TOO_LONG = "context_length_exceeded"
"""The code of an input that is longer than the model's window."""
_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
_LIMITED, _NO_QUOTA = "rate_limit_exceeded", "insufficient_quota"
_NO_CREDIT = (
    "credit balance is too low",  # Anthropic
    "insufficient balance",  # DeepSeek, Z.ai
    "insufficient credits",
    "insufficient funds",
    "exceeded_current_quota",  # Moonshot
    "account is in good standing",  # DashScope
)
"""How servers say that nobody has paid for us, in a 400 too."""
_FORBIDDEN = (
    "requires moderation",  # OpenRouter
    "violates usage guidelines",  # xAI
    "content exists risk",  # DeepSeek
    "considered high risk",  # Moonshot
    "may contain inappropriate content",  # DashScope
)
"""How servers say without a code that their policy forbids the input."""
_NO_ENDPOINT = ("no endpoints found that", "no endpoints found matching")
"""How OpenRouter says that none of those who have the model takes the request."""
_NOT_NOW = (425, 498, 499)
"""Statuses of refusals that another attempt may be spared: 498 is Groq's, for want of capacity."""
# What servers say of a path that they do not have, rather than of a model.
_NO_ROUTE = frozenset({"not found", "file not found", "404 page not found"})


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
    if (found := _of_request(fault, phrases, status)) is not None:
        return found
    message = fault.message or _excerpt(body)
    if status == 401 or (status == 403 and not message):
        key = "our API key, which api_key_env names"
        return UpstreamRefusal(f"The upstream at {where} refuses {key} (HTTP {status}).")
    if refuses_media(fault.message):
        return InvalidRequest(fault.message, param="input", code="unsupported_value")
    said = f"The upstream at {where} answered with HTTP {status}" + (f": {message}" if message else ".")
    if status == 403 or (status == 404 and _lacks_other(fault)):
        return UpstreamRefusal(said)
    if status == 404 or (status in (400, 422) and _means_no_model(fault, model)):
        return _not_found(fault, where, model, speaks)
    told = retry_after(headers)
    later = fault.wait if told is None else told
    if status == 429 or fault.code == _LIMITED:  # Groq says 413, where the tokens of a minute do not do
        return _rate_limited(fault, said, later)
    if status in (408, 504):
        return UpstreamTimeout(said)
    if 400 <= status < 500 and status not in _NOT_NOW and fault.generated is None:
        return InvalidRequest(fault.message or said)
    return UpstreamError(_with_generated(said, fault), retry_after=later)


def _of_request(fault: Fault, phrases: tuple[str, ...], status: int) -> ApiError | None:
    """What a fault says of the request, or of our account, in whatever status."""
    if fault.speaks_of(phrases) and (status != 429 or TOO_LONG in fault.code):
        return too_long(fault.message)
    if fault.code in REFUSED and status < 500:
        return _forbidden(fault, REFUSED[fault.code])
    if status < 500 and fault.speaks_of(_FORBIDDEN):
        return _forbidden(fault, "invalid_prompt")
    if status == 402 or (status < 500 and fault.speaks_of(_NO_CREDIT)):
        return RateLimited(f"The upstream has no credit left for us: {fault.message}", code=_NO_QUOTA)
    return None


def knows_no_path(status: int, body: bytes) -> bool:
    """Whether a refusal is about the path, whatever the request."""
    said = read(body).message.strip(" .").lower()
    return status in (405, 501) or (status == 404 and (not said or said in _NO_ROUTE))


def from_stream(event: bytes) -> ApiError:
    """The error for an error object where a chunk should be."""
    fault = read(event)
    status = fault.status or (429 if "rate_limit" in fault.code or fault.code == _NO_QUOTA else 0)
    if (found := _of_request(fault, CONTEXT_PHRASES, status)) is not None:
        return found
    message = f"The upstream failed: {fault.message or _excerpt(event)}"
    if status == 429:
        return _rate_limited(fault, message, fault.wait)
    if status in (400, 413, 422) and fault.generated is None:
        return InvalidRequest(message)
    return UpstreamError(_with_generated(message, fault), retry_after=fault.wait)


def words_in(event: bytes) -> str:
    """What an object that is no answer says, if it says anything."""
    fault = read(event)
    return fault.message[:_EXCERPT]


def too_long(said: str = "") -> InvalidRequest:
    """`said`: the server's words, which count where it is the answer that would be too long."""
    message = f"{_TOO_LONG} The model's server: {said}" if "max_tokens" in said else _TOO_LONG
    return InvalidRequest(message, param="input", code=TOO_LONG)


def endless(where: str, most: int) -> UpstreamError:
    return UpstreamError(
        f"The upstream at {where} sent more than {most} bytes for one answer (limits.answer_bytes)."
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date."""
    if (exact := _seconds(headers.get("Retry-After-Ms", ""))) is not None:
        return exact / 1000
    value = headers.get("Retry-After", "").strip()
    return _until(value) if value and not value[0].isdigit() else _seconds(value.removesuffix("s"))


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except ValueError:
        return None


def _forbidden(fault: Fault, code: str) -> InvalidRequest:
    message = fault.message or "The input was refused by the model's server."
    return InvalidRequest(message, param="input", code=code)


def _rate_limited(fault: Fault, message: str, later: float | None) -> RateLimited:
    code = _NO_QUOTA if fault.code == _NO_QUOTA else _LIMITED
    return RateLimited(message, code=code, retry_after=later)


def _with_generated(said: str, fault: Fault) -> str:
    """What the model wrote tells more than that it was wrong."""
    return f"{said} The model wrote: {fault.generated[:_EXCERPT]}" if fault.generated else said


def _not_found(fault: Fault, where: str, model: str, speaks: str) -> ApiError:
    if not fault.message or fault.message.strip(" .").lower() in _NO_ROUTE:
        hint = "" if where.endswith("/v1") else " Its base_url usually ends with /v1."
        return UpstreamRefusal(f"The upstream at {where} speaks no {speaks} there (HTTP 404).{hint}")
    return NotFound(f"The requested model '{model}' does not exist.", param="model", code="model_not_found")


def _lacks_other(fault: Fault) -> bool:
    """Whether a 404 is about something else than a model or a path."""
    words = fault.message.lower()
    return fault.speaks_of(_NO_ENDPOINT) or words.startswith("item ")


def _means_no_model(fault: Fault, model: str) -> bool:
    """Whether a refusal says that there is no such model."""
    if fault.code == "model_not_found":
        return True
    words = fault.message[:_SENTENCE].lower()
    name = re.escape(model.lower())
    return any(re.search(form.replace("NAME", name), words) for form in _NO_MODEL)


def _excerpt(body: bytes) -> str:
    """The beginning of a body, unless it is a page."""
    text = body[:_EXCERPT].decode(errors="replace").strip()
    return "" if text.startswith("<") else text
