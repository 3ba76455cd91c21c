"""The name of a process that carries runs, by which others can see whether it still lives.

The name has the machine, the process's number there, and when it began: numbers are used again.
"""

import os
import platform
import re
from pathlib import Path

from antiphon.protocol.ids import new_request_id

_NAME = re.compile(r"(\d+)\.(\d*)\.\w+(?:@(.*))?")


def owner_name() -> str:
    """The name of this process; a new one each time."""
    pid = os.getpid()
    return f"{pid}.{_begun(pid)}.{new_request_id()}@{_machine()}"


def is_dead(owner: str) -> bool:
    """Whether the process with this name, which is silent, has ended. Of one on another machine nothing more
    is known than its silence, and that is taken for its end."""
    found = _NAME.fullmatch(owner)
    if found is None:
        return False
    if found[3] not in (None, _machine()):
        return True
    pid, begun = int(found[1]), found[2]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is somebody else's, and lives
    return _begun(pid) != begun


def _machine() -> str:
    return platform.node().replace(".", "-")


def _begun(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where the kernel does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
