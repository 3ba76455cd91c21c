"""What can go wrong, as the API names it: one class a status, mapped to HTTP once, in `api`.

The body is always `{"error": {"message", "type", "param", "code"}}` with all four keys.
"""

from collections.abc import Iterable
from typing import ClassVar

_LONGEST_MESSAGE = 8192
_LONGEST_PARAM = 1024


class ApiError(Exception):
    """A fault that is shown to the client in OpenAI's error envelope."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = _short(message, _LONGEST_MESSAGE)
        super().__init__(self.message)
        self.param = param and _short(param, _LONGEST_PARAM)
        self.code = code
        self.retry_after = retry_after
        """Seconds after which the client may try again."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the HTTP answer says beside the body."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", b"%d" % max(1, round(self.retry_after)))]

    def body(self) -> dict[str, str | None]:
        """The member `error` of the envelope."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


class ClientFault(ApiError):
    """The client has to do something else."""

    type = "invalid_request_error"


class InvalidRequest(ClientFault):
    """The request cannot be carried out as it stands. The SDK does not repeat a 400, so conflicts that
    repeating cannot mend are shown with it too."""

    status = 400


class Unauthorized(ClientFault):
    status = 401


class PermissionDenied(ClientFault):
    """The request comes from where none may."""

    status = 403


class NotFound(ClientFault):
    status = 404


class MethodNotAllowed(ClientFault):
    """`allowed`: the methods of the place."""

    status = 405

    def __init__(self, message: str, allowed: Iterable[str]) -> None:
        super().__init__(message, code="method_not_allowed")
        self._allowed = ", ".join(sorted(allowed))

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers, (b"allow", self._allowed.encode())]


class UpgradeRequired(ClientFault):
    """A place where WebSockets are opened was asked for something else."""

    status = 426

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers, (b"upgrade", b"websocket"), (b"connection", b"Upgrade")]


class ConnectorFailed(ApiError):
    """A server of tools, which the request names, cannot be used."""

    status = 424
    type = "external_connector_error"


class TooSlow(ClientFault):
    """The client takes too long to send its request."""

    status = 408


class TooLarge(ClientFault):
    status = 413


class HeadersTooLarge(ClientFault):
    status = 431


class RateLimited(ApiError):
    status = 429
    type = "rate_limit_error"


class RequestsExceeded(RateLimited):
    """A key has used up its requests."""

    type = "requests"


class TokensExceeded(RateLimited):
    """A key has used up its tokens."""

    type = "tokens"


class QuotaExceeded(RateLimited):
    """A key has used up its budget."""

    type = "insufficient_quota"


class UpstreamError(ApiError):
    """The model behind us failed: `502` while nothing was sent, else `response.failed`."""

    status = 502


class ModelFault(UpstreamError):
    """The model answered, and what it wrote is not what it owed. No server is at fault, so where there is a
    response, it is the response that fails, and not the request (behaviours.md section 6): a client that
    sent it again would have the model asked again as often."""


class UpstreamRefusal(UpstreamError):
    """It refuses us, and will again: our key, or the path that we ask for, is wrong."""


class UpstreamTimeout(UpstreamError):
    status = 504


class SearchTimeout(ApiError):
    """Vector stores did not answer in time: the response fails, as on the real API."""

    status = 504


class Unavailable(ApiError):
    """Not now, but soon: the embedded model still starts, there is no room, or the server stops."""

    status = 503


class InsufficientStorage(ApiError):
    """Nothing more can be stored."""

    status = 507


def _short(text: str, longest: int) -> str:
    """A text without its middle, if it is too long: whatever a client sends, it gets back little of it."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def one_of(values: tuple[str, ...], last: str = "and") -> str:
    """Quoted values as a sentence lists them: `'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return f" {last} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {last} {quoted[-1]}"
