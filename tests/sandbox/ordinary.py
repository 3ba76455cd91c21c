"""Runs a command as a user who is nobody, when root runs the tests.

Python and this checkout may lie where only root may look. So the command has a view of the file system of
its own, in which the folders on the way to them are open and have nothing else in them.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

USER = 59_999
"""Of no person and no service, by the conventions of systemd."""
CHECKOUT = Path(__file__).parents[2]


def run(command: Sequence[str], home: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """`home` is made for the user, who owns it."""
    home.mkdir()
    needed = {Path(sys.base_prefix), Path(sys.prefix).resolve(), CHECKOUT, home}
    script = ["set -e", f"chown {USER}:{USER} {shlex.quote(str(home))}", *_open_ways(needed)]
    rights = "--bounding-set=-all --inh-caps=-all --clear-groups --no-new-privs"
    script.append(f"exec setpriv --reuid {USER} --regid {USER} {rights} {shlex.join(command)}")
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", "\n".join(script)],
        cwd=CHECKOUT,
        env={"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _open_ways(needed: set[Path]) -> list[str]:
    """Commands that put an empty folder in place of each that is closed, and in it what is needed."""
    closed = sorted({place for path in needed if (place := _first_closed(path)) is not None})
    commands = []
    for number, path in enumerate(sorted(needed)):
        if any(path.is_relative_to(place) for place in closed):
            aside = shlex.quote(f"/proc/self/fd/{10 + number}")
            commands += [f"exec {10 + number}<{shlex.quote(str(path))}"]
            commands += [f"mounted+=({aside} {shlex.quote(str(path))})"]
    for place in closed:
        commands.append(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(place))}")
    bind = 'mkdir -p "${mounted[i + 1]}"; mount --no-canonicalize --bind "${mounted[i]}" "${mounted[i + 1]}"'
    return ["mounted=()", *commands, f"for ((i = 0; i < ${{#mounted[@]}}; i += 2)); do {bind}; done"]


def _first_closed(path: Path) -> Path | None:
    """The first folder on the way to a path that others may not pass."""
    return next((each for each in [*reversed(path.parents), path] if not each.stat().st_mode & 0o001), None)
