"""Code inside that wants to get out, and what it finds."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.boxes import left, put, said
from tests.sandbox.conftest import SECRET

from antiphon.sandbox import seccomp
from antiphon.sandbox.arguments import python
from antiphon.sandbox.base import Sandbox
from antiphon.sandbox.seccomp import policy

ATTEMPTS = Path(__file__).with_name("attempts.py")
MOST_FEW = 150
"""There are more attempts than that."""


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A file of the host's, readable to everybody."""
    file = tmp_path / "hidden"
    file.write_text(SECRET)
    file.chmod(0o644)
    return file


@pytest.fixture
def listening() -> Iterator[tuple[int, str]]:
    """What the host listens on: a port, and a name without a file."""
    name = f"antiphon-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        yield port.getsockname()[1], name


def given(box_folder: Path, hidden: Path, listening: tuple[int, str]) -> bytes:
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    own = [f"/proc/{os.getpid()}/environ", f"/proc/{os.getppid()}/cmdline", __file__, str(hidden)]
    return json.dumps(
        {
            "calls": {call.name: call.number for call in policy.calls(seccomp.machine())},
            "secret": SECRET,
            "host_files": [*own, str(box_folder / "lock"), str(box_folder / "box" / "etc" / "passwd")],
            "host_process": os.getpid(),
            "port": listening[0],
            "abstract": listening[1],
            "addresses": [each for each in addresses if "." in each],
            "first_folders": [python().parts[1]],
        }
    ).encode()


async def test_nothing_that_is_tried_inside_leads_out(
    box: Sandbox, home: Path, hidden: Path, listening: tuple[int, str]
) -> None:
    (folder,) = left(home, "box")
    await put(box, "/mnt/data/given.json", given(folder.parent, hidden, listening))
    await put(box, "/mnt/data/attempts.py", ATTEMPTS.read_bytes())

    came_of = json.loads(await said(box, f"{python()} attempts.py"))

    assert {name: result for name, result in came_of.items() if result.startswith("PASSED")} == {}
    assert len(came_of) > MOST_FEW
    assert await said(box, "echo well") == "well"
