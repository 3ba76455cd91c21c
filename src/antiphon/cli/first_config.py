"""The file that `antiphon init` writes: what was chosen, and a word on what else there is."""

import json

from msgspec import Struct

from antiphon import config

_PORT = config.Server().port
_NO_KEY = f"sha256:{'0' * 64}"
"""No key is known that has this hash: whoever takes the example as it is lets nobody in."""


class Upstream(Struct, frozen=True):
    """What is to answer."""

    base_url: str
    dialect: str | None = None
    model: str | None = None
    """Answers every name that it does not know; None: names go on as they come."""
    key_env: str | None = None
    port: int | None = None
    """Where it listens, if on this machine."""


class Key(Struct, frozen=True):
    """What lets clients in, also those of other machines."""

    project: str
    secret: str


def text_of(upstream: Upstream | None, key: Key | None) -> str:
    """`upstream` None: the embedded model answers. `key` None: only this machine is let in."""
    port = _PORT + 1 if upstream is not None and upstream.port == _PORT else _PORT
    return "\n".join((_HEAD, _server(key, port), _backend(upstream), _REST))


def _server(key: Key | None, port: int) -> str:
    host = "127.0.0.1" if key is None else "0.0.0.0"
    line = f'#main = "{_NO_KEY}"' if key is None else _hashed(key)
    return f"""[server]
# 127.0.0.1: this machine alone. 0.0.0.0: every address of it; then there must be keys.
host = "{host}"
port = {port}
# Server processes, for more than one processor.
#workers = 2
# Names under which it is reached, where it has no keys.
#allowed_hosts = ["ai.example.com"]

[server.keys]
# Project = "hash of its API key". `antiphon key PROJECT` makes both; without any, no key is asked for.
{line}
"""


def _hashed(key: Key) -> str:
    return f'{key.project} = "{config.hash_key(key.secret)}"'


def _backend(upstream: Upstream | None) -> str:
    if upstream is None:
        return _EMBEDDED
    lines = ["[backends.main]", "# The model server, with its /v1.", f"base_url = {_text(upstream.base_url)}"]
    if upstream.dialect is not None:
        lines += [
            "# What it is. Without this line it is asked each time.",
            f"dialect = {_text(upstream.dialect)}",
        ]
    lines += ["# The environment variable that holds its key: secrets are not written here."]
    lines += [
        f"api_key_env = {_text(upstream.key_env)}" if upstream.key_env else '#api_key_env = "UPSTREAM_KEY"'
    ]
    lines += ["# Names that it does not know are answered by this model. true: they go on as they come."]
    lines += [f"default = {_text(upstream.model) if upstream.model else 'true'}"]
    lines += [
        "# Its models under names of yours.",
        f'#models = {{ "gpt-5" = {_text(upstream.model or "MODEL")} }}',
    ]
    lines += ["# Tokens of their context, where the server does not say.", "#context_window = 32768", ""]
    return "\n".join(lines)


def _text(value: str) -> str:
    """TOML writes strings as JSON does."""
    return json.dumps(value, ensure_ascii=False)


_HEAD = """# Antiphon's configuration. `antiphon doctor` says what works, and what to type where it does not.
# Lines with # and no space behind it are settings that could be made. Every key is in docs/configuration.md.
# Each is an environment variable too: port of [server] is ANTIPHON_SERVER_PORT.

# Where responses, files and keys are kept.
#data_dir = "/var/lib/antiphon"
"""
_EMBEDDED = """[backends.main]
# A model that runs inside Antiphon: hf:OWNER/REPO:QUANT, or a GGUF file. Without: SmolLM2-135M-Instruct.
type = "llama"
#model = "hf:OWNER/REPO:Q4_K_M"
default = true
"""
_REST = """[tools.web_search]
# Lets models search the web, and read pages. It needs `pip install 'antiphon[web]'`.
#engine = "duckduckgo"

[sandbox]
# Where code from models runs: `none` turns code_interpreter and shell off.
#driver = "none"

[retention]
# Days for which responses are kept.
#responses_days = 30

[dashboard]
# Pages at /dashboard, for people.
#enabled = true
"""
