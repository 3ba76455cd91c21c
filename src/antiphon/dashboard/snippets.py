"""A request as code: for curl, and for the official Python client. The key is a variable: none is written."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

KEY = "OPENAI_API_KEY"
_host = re.compile(r"[A-Za-z0-9.:\[\]-]+", re.ASCII).fullmatch
_UNKNOWN_TO_PYTHON = frozenset({"presence_penalty", "frequency_penalty", "client_metadata", "multi_agent"})
"""Members that the client sends in its `extra_body` only."""
_WAITED_FOR = """\
while response.status in ("queued", "in_progress"):
    time.sleep(1)
    response = client.responses.retrieve(response.id)
"""
_WIDE = 80
"""Characters of a value that stands in one line."""


def base_url(scheme: str, host: str) -> str:
    """Where the API is for whoever has this page."""
    return f"{scheme if scheme == 'https' else 'http'}://{host if _host(host) else 'localhost'}/v1"


def curl(base: str, body: Mapping[str, Any]) -> str:
    """For a shell. A line of the JSON is never its end: JSON has a bracket or a quote in each."""
    flags = " --no-buffer" if body.get("stream") else ""
    text = msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    return (
        f"curl{flags} {shlex.quote(f'{base}/responses')} \\\n"
        f'  --header "Authorization: Bearer ${KEY}" \\\n'
        f'  --header "Content-Type: application/json" \\\n'
        f"  --data-binary @- <<'JSON'\n{text}\nJSON\n"
    )


def python(base: str, body: Mapping[str, Any]) -> str:
    """A program that prints the answer, or its events as they come."""
    members = {name: value for name, value in body.items() if name not in _UNKNOWN_TO_PYTHON}
    extra = {name: value for name, value in body.items() if name in _UNKNOWN_TO_PYTHON}
    if extra:
        members["extra_body"] = extra
    lines = [f"    {name}={literal(value, 4)}," for name, value in members.items()]
    call = "\n".join(["client.responses.create(", *lines, ")"])
    client = f'client = OpenAI(base_url={literal(base)}, api_key=os.environ["{KEY}"])'
    modules, end = "import os", f"response = {call}\nprint(response.output_text)\n"
    if body.get("stream"):
        end = f"stream = {call}\nfor event in stream:\n    print(event)\n"
    elif body.get("background"):
        modules = "import os\nimport time"
        end = f"response = {call}\n{_WAITED_FOR}print(response.output_text)\n"
    return f"{modules}\n\nfrom openai import OpenAI\n\n{client}\n\n{end}"


def literal(value: Any, indent: int = 0) -> str:
    """JSON as Python writes it; what is long is spread over lines."""
    if not isinstance(value, dict | list):
        return repr(value)
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        parts = [f"{key!r}: {literal(each, indent + 4)}" for key, each in value.items()]
    else:
        parts = [literal(each, indent + 4) for each in value]
    opened, closed = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if sum(map(len, parts)) + 2 * len(parts) <= _WIDE and not any("\n" in part for part in parts):
        return f"{opened}{', '.join(parts)}{closed}"
    lines = "".join(f"{inner}{part},\n" for part in parts)
    return f"{opened}\n{lines}{' ' * indent}{closed}"
