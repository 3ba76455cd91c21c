"""Which system calls code in a sandbox may make: a filter for each kind of machine, made beforehand.

`python -m antiphon.sandbox.seccomp.make` makes them; nothing of it is needed when a sandbox starts.
"""

import platform
from importlib import resources

from antiphon.sandbox.seccomp.policy import MACHINES as MACHINES

_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


def machine() -> str:
    """This machine, by its name in `MACHINES` if it is among them."""
    name = platform.machine().lower()
    return _OTHER_NAMES.get(name, name)


def program(name: str) -> bytes | None:
    """The filter for such a machine, as the kernel reads it; None: there is none."""
    if name not in MACHINES:
        return None
    return resources.files(__name__).joinpath(f"{name}.bpf").read_bytes()
