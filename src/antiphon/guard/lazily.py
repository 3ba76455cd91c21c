"""Modules that few servers need: imported at their first use, which saves all others memory."""

import asyncio
from importlib import import_module
from typing import Any

_imported: dict[str, Any] = {}
"""Whole ones: what another thread still loads is in `sys.modules` already."""


async def imported(name: str) -> Any:
    """The module. At first it takes a tenth of a second or two, in which others go on."""
    if name not in _imported:
        _imported[name] = await asyncio.to_thread(import_module, name)
    return _imported[name]
