"""What begins first: files of tests that take their time, so that nobody waits for one of them in the end."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_LONGEST = (
    "attack/test_attack.py",
    "clients/test_client_pages.py",
    "sandbox/test_kernel.py",
    "chaos/test_chaos.py",
    "sandbox/test_ordinary_user.py",
    "cli/test_file_commands.py",
    "cli/test_backups.py",
    "clients/test_codex.py",
    "docs/test_examples.py",
    "sandbox/test_jupyter_gateway.py",
    "tools/coding/test_killed_runs.py",
    "tools/coding/test_killed_programs.py",
    "tools/test_file_search_deaths.py",
    "cli/test_key_commands.py",
    "cli/test_homes.py",
    "tools/test_mcp_connections.py",
    "tools/test_file_search.py",
    "tools/test_web_search.py",
)
_PLACES = {_HERE / name: place for place, name in enumerate(_LONGEST)}


def longest_first(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _PLACES.get(item.path, len(_PLACES)))
