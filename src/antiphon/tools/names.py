"""The name under which a tool's function is offered to the model.

Chat Completions knows no namespaces, and its names have at most 64 characters. The offered name is a
function of the tool's own name and its namespace alone, so that a past call reads under the same name in a
later turn, when the tool may be gone.
"""

import re
from hashlib import sha256

LONGEST = 64
_DIGITS = 8
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")


def offered_name(name: str, namespace: str | None = None) -> str:
    """`name`, or `namespace__name`; shortened to what upstreams take, with digits that keep long
    names apart. A namespace of the same name as its function is that of a function which was searched for
    (see `tool_search`): it stands by itself."""
    return _safe(f"{namespace}__{name}" if namespace and namespace != name else name)


def safe_name(name: str, namespace: str) -> str:
    """The same for a tool of a server: `namespace` is the server's label."""
    return _safe(f"{namespace}__{name}")


def _safe(whole: str) -> str:
    """What upstreams do not take in a name is replaced: models make up names too."""
    plain = _OTHER.sub("_", whole)
    return whole if plain == whole and 0 < len(whole) <= LONGEST else _kept_apart(plain, whole)


def _kept_apart(short: str, whole: str) -> str:
    digits = sha256(whole.encode()).hexdigest()[:_DIGITS]
    return f"{short[: LONGEST - _DIGITS - 1]}_{digits}"
