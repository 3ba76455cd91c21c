"""Why no sandbox can be started here, and what helps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from antiphon.sandbox import seccomp
from antiphon.sandbox.arguments import Bubblewrap, visible
from antiphon.sandbox.base import SandboxUnavailable

_REFUSED = (
    "No permissions to create",
    "Creating new namespace failed",
    "setting up uid map",
    "RTM_NEWADDR",
    "Operation not permitted",
    "Permission denied",
    "No space left on device",
)
_APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"
_SWITCH = "kernel/unprivileged_userns_clone"
_MOST = "user/max_user_namespaces"
_SYSCTLS = Path("/proc/sys")


def find() -> Bubblewrap:
    """The program, if it is one that can be used here. Raises SandboxUnavailable."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable("Sandboxes need Linux: bubblewrap runs nowhere else.")
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(f"bubblewrap is not installed: `{_install('bubblewrap')}`.")
    said = subprocess.run([program, "--help"], env={}, capture_output=True, text=True, check=False)
    options = said.stdout + said.stderr
    if "--as-pid-1" not in options or "--perms" not in options:
        raise SandboxUnavailable(f"{program} is too old: bubblewrap 0.5 or later is needed.")
    return Bubblewrap(
        program=program, sizes="--size" in options, disables_namespaces="--disable-userns" in options
    )


def _install(package: str) -> str:
    as_root = "" if os.geteuid() == 0 else "sudo "
    managers = {
        "apt-get": "apt-get install",
        "dnf": "dnf install",
        "pacman": "pacman -S",
        "zypper": "zypper install",
        "apk": "apk add",
    }
    return next(
        (f"{as_root}{command} {package}" for name, command in managers.items() if shutil.which(name)),
        f"{as_root}apt-get install {package}",
    )


def filter_of_this_machine() -> bytes:
    """The filter of system calls. Raises SandboxUnavailable."""
    machine = seccomp.machine()
    found = seccomp.program(machine)
    if found is None:
        known = " and ".join(seccomp.MACHINES)
        raise SandboxUnavailable(
            f"Sandboxes need a filter of system calls; there are {known}, not {machine}."
        )
    return found


def check_home(home: Path) -> None:
    """Raises SandboxUnavailable if sandboxes would see what is in it."""
    resolved = home.resolve()
    for folder in visible(None):
        if resolved.is_relative_to(folder.resolve()):
            raise SandboxUnavailable(f"{home} lies in {folder}, which sandboxes see: set another data_dir.")


def explain(words: str) -> str:
    """What bubblewrap said when it could not start a sandbox, with what helps."""
    said = words.splitlines()[-1].removeprefix("bwrap: ").rstrip(".") if words else "nothing was said"
    remedy = _remedy() if said in words and any(sign in words for sign in _REFUSED) else ""
    return f"bubblewrap cannot start a sandbox ({said}).{remedy}"


def _remedy() -> str:
    if os.geteuid() == 0:
        return (
            " Root may make no namespaces here, as in a container with few rights: give the container"
            " CAP_SYS_ADMIN and let it mount /proc (with Docker: `--cap-add SYS_ADMIN --security-opt"
            " seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`),"
            " or run the server outside of one."
        )
    if _setting(_APPARMOR) == "1":
        return (
            f" AppArmor keeps user namespaces from programs: `{_install('apparmor-profiles')}`, then"
            " `sudo cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/` and"
            " `sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict`."
        )
    if _setting(_SWITCH) == "0":
        return " User namespaces are switched off: `sudo sysctl -w kernel.unprivileged_userns_clone=1`."
    if _setting(_MOST) == "0":
        return " No user namespaces are allowed: `sudo sysctl -w user.max_user_namespaces=15000`."
    return (
        " User namespaces are refused here, as in a container with few rights: with Docker, run it with"
        " `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, or run the server as"
        " root or outside of a container."
    )


def _setting(name: str) -> str | None:
    try:
        return (_SYSCTLS / name).read_text().strip()
    except OSError:
        return None
