"""Which domains may be found and read."""

from collections.abc import Sequence
from urllib.parse import urlsplit

MOST = 100
"""Domains that a request may name in each list, as on the real API."""
_OPERATORS = 12
"""Domains that are written into a question: engines read no longer ones."""


def normal(name: str) -> str | None:
    """A domain as it is compared; None: it is none. A scheme, a path or a port do not belong to one."""
    name = name.strip().rstrip(".").lower()
    try:
        ascii_name = name.encode("idna").decode()
    except UnicodeError:
        return None
    labels = ascii_name.split(".")
    good = all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels)
    return ascii_name if good and len(ascii_name) <= 253 else None


def domain_of(url: str) -> str:
    """The host of a URL, without a `www.` in front; empty: it has none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return (normal(host) or host).removeprefix("www.")


def admits(url: str, allowed: Sequence[str], blocked: Sequence[str]) -> bool:
    """Whether a URL is of the web and of a domain that is allowed and not blocked."""
    if not url.startswith(("http://", "https://")):
        return False
    host = domain_of(url)
    return bool(host) and (not allowed or _among(host, allowed)) and not _among(host, blocked)


def operators(text: str, allowed: Sequence[str], blocked: Sequence[str]) -> str:
    """A question with its domains in it, for engines that know no other way."""
    wanted = [f"site:{domain}" for domain in allowed[:_OPERATORS]]
    unwanted = [f"-site:{domain}" for domain in blocked[:_OPERATORS]]
    sites = f"({' OR '.join(wanted)})" if len(wanted) > 1 else "".join(wanted)
    return " ".join(filter(None, (text, sites, *unwanted)))


def _among(host: str, domains: Sequence[str]) -> bool:
    plain = (domain.removeprefix("www.") for domain in domains)
    return any(host == domain or host.endswith(f".{domain}") for domain in plain)
