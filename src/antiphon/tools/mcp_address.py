"""Where an MCP server is that a request names, and with which credentials it is asked."""

import re

from antiphon.guard.addresses import parts_of
from antiphon.mcp.base import Address, Configured, Remote
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import REDACTED, McpTool
from antiphon.tools.context import ToolContext

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept"}


def address_of(tool: McpTool, context: ToolContext) -> Address:
    """Raises InvalidRequest when the tool does not name exactly one server."""
    named = [name for name in ("server_url", "connector_id", "tunnel_id") if getattr(tool, name) is not None]
    if len(named) > 1:
        raise _bad(context, f"A server has one address: send only one of {', '.join(named)}.")
    headers = _headers(tool, context)
    if tool.server_url is not None:
        return Remote(url=_url(tool.server_url, context), headers=headers)
    if tool.connector_id is not None:
        return _connector(tool.connector_id, headers, context)
    if tool.tunnel_id is not None:
        raise _bad(context, "Tunnels are not supported by this server.", "tunnel_id", "unsupported_value")
    local = context.resources.mcp_servers.get(tool.server_label)
    if local is None:
        raise _bad(
            context,
            "A server needs an address: send server_url or connector_id, or the server_label of a server "
            f"that this installation has ([mcp_servers.NAME] in its configuration has no "
            f"'{tool.server_label}').",
        )
    if headers:
        raise _bad(context, "The installation's own servers take no credentials from requests.")
    return local


def _connector(name: str, headers: dict[str, str], context: ToolContext) -> Address:
    known = context.resources.connectors.get(name)
    if known is None:
        raise _bad(
            context,
            f"The connector '{name}' is not set up on this server. Its operator can name an MCP server for "
            f"it in the configuration: [connectors.{name}] url, authorization_env.",
            "connector_id",
        )
    assert isinstance(known, Remote)
    own = {key: value for key, value in known.headers.items() if key.lower() not in _lower(headers)}
    return Configured(url=known.url, headers={**own, **headers})


def _headers(tool: McpTool, context: ToolContext) -> dict[str, str]:
    headers = dict(tool.headers or {})
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value) or name.lower() in _OURS:
            raise _bad(context, "A header's name or value cannot be sent.", "headers")
    if tool.authorization is None:
        return _kept(headers, context)
    if "authorization" in _lower(headers):
        raise _bad(context, "Send either authorization or a header of that name.", "authorization")
    if not tool.authorization or not _VALUE.fullmatch(tool.authorization):
        raise _bad(context, "The token cannot be sent in a header.", "authorization")
    return _kept({**headers, "Authorization": f"Bearer {tool.authorization}"}, context)


def _kept(headers: dict[str, str], context: ToolContext) -> dict[str, str]:
    """Secrets are not kept: what comes back from where it was kept is of no use."""
    for value in headers.values():
        _check_kept(value, context, "headers")
    return headers


def _check_kept(value: str, context: ToolContext, member: str) -> None:
    if REDACTED in value:
        raise _bad(context, f"'{REDACTED}' stands for a secret that was not kept: send it again.", member)


def _lower(headers: dict[str, str]) -> set[str]:
    return {name.lower() for name in headers}


def _url(url: str, context: ToolContext) -> str:
    _check_kept(url, context, "server_url")
    parts = parts_of(url)
    if parts is None:
        raise _bad(context, "server_url must be a URL that begins with http:// or https://.", "server_url")
    if parts.username is not None or parts.password is not None:
        raise _bad(context, "server_url has credentials in it: send them as authorization.", "server_url")
    return url


def _bad(context: ToolContext, message: str, member: str = "", code: str | None = None) -> InvalidRequest:
    return InvalidRequest(message, param=f"{context.place}.{member}" if member else context.place, code=code)
