"""Our own programs that run inside a sandbox: files of this package, handed over as text.

They are given in a variable: as an argument a whole program would stand in every list of processes.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

from antiphon.sandbox.inside import Inside, Process

_VARIABLE: Final = "ANTIPHON_PROGRAM"
_START: Final = f"import os; exec(os.environ.pop({_VARIABLE!r}))"


async def run_program(
    inside: Inside,
    python: str,
    name: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a file of this package. Raises SandboxEnded, SandboxError."""
    given = {**(environment or {}), _VARIABLE: _source(name)}
    return await inside.spawn([python, "-c", _START, *arguments], given)


@cache
def _source(name: str) -> str:
    return resources.files("antiphon.sandbox").joinpath(name).read_text(encoding="utf-8")
