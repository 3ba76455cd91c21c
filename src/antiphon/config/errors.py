"""What makes a configuration unusable."""

import difflib


class ConfigError(Exception):
    """The configuration cannot be used; the message says which key and why."""


def check_known(key: str, known: tuple[str, ...], where: str, what: str = "key") -> None:
    """Raises `ConfigError` for a key that is none of the known ones."""
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}."
    raise ConfigError(f"Unknown {what} '{key}' in {where}. {hint}")
