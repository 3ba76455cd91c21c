"""Addresses of the web, and which domains may be found and read."""

from collections.abc import Sequence
from ipaddress import ip_address

from yarl import URL

_OPERATORS = 12
"""Domains that are written into a question: engines read no longer ones."""
MOST_CHARACTERS = 2_048
"""Of an address. Longer ones are made for a machine, or to harm one."""


def address(url: str) -> str | None:
    """A URL as it is compared, shown and cited; None: it is none of the web. It comes from engines, pages and
    models. Encoded, nothing in it is a mark of ours, a space, or a line of its own."""
    url = url.strip()
    if len(url) > MOST_CHARACTERS or not url.isprintable():
        return None
    try:
        parsed = URL(url)
        named = parsed.host is not None and _is_host(parsed.host)
        of_the_web = parsed.scheme in ("http", "https") and parsed.port is not None
    except ValueError:
        return None
    return str(parsed) if named and of_the_web and parsed.user is None and parsed.password is None else None


def normal(name: str) -> str | None:
    """A domain as it is compared; None: it is none. A scheme, a path or a port do not belong to one."""
    name = name.strip().rstrip(".").lower()
    if len(name) > 253:
        return None
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
        host = URL(url).host or ""
    except ValueError:
        return ""
    return (normal(host) or host).removeprefix("www.")


def admits(url: str, allowed: Sequence[str], blocked: Sequence[str]) -> bool:
    """Whether a URL is of the web and of a domain that is allowed and not blocked."""
    host = domain_of(url) if address(url) is not None else ""
    return bool(host) and (not allowed or _among(host, allowed)) and not _among(host, blocked)


def operators(text: str, allowed: Sequence[str], blocked: Sequence[str]) -> str:
    """A question with its domains in it, for engines that know no other way."""
    wanted = [f"site:{domain}" for domain in allowed[:_OPERATORS]]
    unwanted = [f"-site:{domain}" for domain in blocked[:_OPERATORS]]
    sites = f"({' OR '.join(wanted)})" if len(wanted) > 1 else "".join(wanted)
    return " ".join(filter(None, (text, sites, *unwanted)))


def _is_host(host: str) -> bool:
    try:
        return bool(normal(host) or ip_address(host))
    except ValueError:
        return False


def _among(host: str, domains: Sequence[str]) -> bool:
    plain = (domain.removeprefix("www.") for domain in domains)
    return any(host == domain or host.endswith(f".{domain}") for domain in plain)
