"""Forms that pages send."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from antiphon.api.body import read_any_body
from antiphon.guard.offload import offload
from antiphon.protocol.errors import InvalidRequest

SMALL = 64 * 1024
"""Bytes of a form."""
LARGE = 8 * 1024 * 1024
"""Of one that holds a whole request."""
_FIELDS = 64


async def form_of(request: Request, most: int = SMALL) -> Mapping[str, str]:
    """Its fields. Raises InvalidRequest, TooLarge."""
    body = await read_any_body(request, most)
    return await offload(len(body), _fields, body)


def _fields(body: bytes) -> Mapping[str, str]:
    """Raises InvalidRequest."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError:
        raise InvalidRequest("This is no form.") from None
