"""What bubblewrap is asked for: the file system, the namespaces and the rights of a sandbox.

Its parts are the host's programs, read-only, a few files of its /etc, and nothing else of it. Arguments reach
bubblewrap through a descriptor, so that no path of the host is in the list of processes.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from antiphon.sandbox.base import DATA, SKILLS, Limits
from antiphon.sandbox.inside import SOCKETS

HOME = "/home/oai"
ENVIRONMENT = "/opt/antiphon"
"""Where the environment of the interpreter is, inside."""
USER = 1000
"""Inside, where it is a user namespace that maps it."""
AGENT = "/run/agent"
_CODE = Path(__file__).with_name("agent")
_START = ("-I", "-S", "-B", "-c")
_MAIN = f"import sys; sys.path.append({AGENT!r}); from antiphon.sandbox.agent.main import main; main()"
_OF_ETC = (
    *("alternatives", "bash.bashrc", "ca-certificates", "crypto-policies", "debian_version", "fonts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types", "os-release", "perl"),
    *("pki/ca-trust/extracted", "pki/tls/cert.pem", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf"),
)
_LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What the kernel says there is of the host, not of the sandbox.
_HIDDEN_FILES = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list")
_HIDDEN_FOLDERS = ("acpi", "asound", "scsi")
_SHARED_MEMORY = 64 << 20
_HOME = 64 << 20


class Box(Struct, frozen=True):
    """The folders of a sandbox on the host."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def skills(self) -> Path:
        return self.folder / "skills"

    @property
    def sockets(self) -> Path:
        return self.folder / "sockets"

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def incoming(self) -> Path:
        """Where files are written before they are put in their place."""
        return self.folder / "incoming"

    @property
    def unsized(self) -> Path:
        """What stands for folders in memory where bubblewrap cannot bound their size."""
        return self.folder / "unsized"


class Bubblewrap(Struct, frozen=True, kw_only=True):
    """The program, and what this version of it has."""

    program: str
    sizes: bool
    """Folders in memory can be bounded (0.7 and later)."""
    disables_namespaces: bool
    """0.8 and later; the filter of system calls refuses them anyway."""


class Mounts(Struct, frozen=True, kw_only=True):
    """What the file system of a sandbox is made of."""

    box: Box
    limits: Limits
    environment: Path | None
    """Of the interpreter."""
    sizes: bool = True
    """As `Bubblewrap` has it."""

    def in_memory(self, place: str, size: int) -> Iterator[str]:
        """A folder for everybody, that does not outgrow its size."""
        if self.sizes:
            yield from ("--perms", "1777", "--size", str(size), "--tmpfs", place)
            return
        folder = self.box.unsized / place.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
        yield from ("--bind", str(folder), place)


def python() -> Path:
    """The interpreter that this process runs on, outside of any environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = Path(sys.base_prefix) / "bin" / version
    return found if found.exists() else Path(sys.executable).resolve()


def command(channel: int) -> list[str]:
    """What runs inside."""
    return [str(python()), *_START, _MAIN, str(channel)]


def path(environment: Path | None) -> str:
    """Where programs are looked for, inside; the last resort is what the agent runs on."""
    first = [f"{ENVIRONMENT}/bin"] if environment else []
    return ":".join([*first, "/usr/local/bin", "/usr/bin", "/bin", str(python().parent)])


def namespaces(bubblewrap: Bubblewrap, *, as_root: bool) -> list[str]:
    """All of them, and the rights: as root those that the agent needs to become somebody else."""
    asked = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    asked += ["--hostname", "sandbox", "--new-session", "--die-with-parent", "--as-pid-1", "--clearenv"]
    asked += ["--cap-drop", "ALL"]
    if as_root:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            asked += ["--cap-add", capability]
    else:
        asked += ["--unshare-user", "--uid", str(USER), "--gid", str(USER)]
        asked += ["--disable-userns"] if bubblewrap.disables_namespaces else []
    return asked


def file_system(mounts: Mounts) -> list[str]:
    """What is mounted, in this order."""
    return [
        *_folders(mounts),
        *_system(),
        *_kernel_files(mounts),
        *_of_etc(mounts.box),
        *_own(mounts),
        *_interpreters(mounts.environment),
        "--remount-ro",
        "/",
        "--chdir",
        "/",
    ]


def _folders(mounts: Mounts) -> Iterator[str]:
    """Those in which others are mounted. bubblewrap would make some of them for root alone."""
    places = [DATA, HOME, SOCKETS, ENVIRONMENT, "/etc/pki/tls/certs", "/etc/ssl/certs", "/var/tmp"]
    places += [f"{AGENT}/antiphon/sandbox/agent", *_bases(mounts.environment)]
    parents = {parent for place in places for parent in Path(place).parents if parent != Path("/")}
    for parent in sorted(parents):
        if not parent.is_relative_to("/usr"):
            yield from ("--perms", "0755", "--dir", str(parent))


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _LINKED:
        place = Path("/") / name
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))


def _kernel_files(mounts: Mounts) -> Iterator[str]:
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from mounts.in_memory("/dev/shm", _SHARED_MEMORY)
    yield from ("--remount-ro", "/dev")
    for name in _HIDDEN_FILES:
        yield from ("--ro-bind-try", "/dev/null", f"/proc/{name}") if Path("/proc", name).exists() else ()
    for name in _HIDDEN_FOLDERS:
        if Path("/proc", name).is_dir():
            yield from ("--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")


def _of_etc(box: Box) -> Iterator[str]:
    for name in _OF_ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for file in sorted(os.listdir(box.etc)):
        yield from ("--ro-bind", str(box.etc / file), f"/etc/{file}")


def _own(mounts: Mounts) -> Iterator[str]:
    """Folders in memory come first: others are mounted in them."""
    yield from mounts.in_memory("/tmp", mounts.limits.disk_bytes // 2)
    yield from ("--symlink", "/tmp", "/var/tmp")
    yield from mounts.in_memory(HOME, _HOME)
    yield from ("--bind", str(mounts.box.data), DATA)
    yield from ("--ro-bind", str(mounts.box.skills), SKILLS)
    yield from ("--bind", str(mounts.box.sockets), SOCKETS)
    yield from ("--ro-bind", str(_CODE), f"{AGENT}/antiphon/sandbox/agent")


def _interpreters(environment: Path | None) -> Iterator[str]:
    """The environment, and what it and the agent stand on, which must be where it is outside."""
    if environment is not None:
        yield from ("--ro-bind", str(environment), ENVIRONMENT)
    for part in _bases(environment):
        yield from ("--ro-bind", part, part)


def _bases(environment: Path | None) -> list[str]:
    """What installations of Python have that are not in /usr. Their programs and libraries are enough: who
    installs Python into a folder of their own may have anything beside these."""
    programs = [python(), *([environment / "bin" / "python"] if environment else [])]
    bases = {program.resolve().parent.parent for program in programs}
    parts = [base / name for base in bases for name in ("bin", "lib", "lib64")]
    return sorted(str(part) for part in parts if part.is_dir() and not part.is_relative_to("/usr"))


def visible(environment: Path | None) -> list[Path]:
    """The folders of the host that a sandbox sees, with all that is below."""
    linked = [Path("/", name) for name in _LINKED]
    return [Path("/usr"), *linked, *map(Path, _bases(environment))]


def write_etc(box: Box, user: int) -> None:
    """The files of /etc that are the sandbox's own."""
    contents = {
        "passwd": "root:x:0:0::/root:/usr/sbin/nologin\n"
        f"oai:x:{user}:{user}::{HOME}:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
        "group": f"root:x:0:\noai:x:{user}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "hostname": "sandbox\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "resolv.conf": "",
    }
    for name, content in contents.items():
        (box.etc / name).write_text(content, encoding="ascii")


def variables(environment: Path | None, also: Mapping[str, str]) -> dict[str, str]:
    """The environment of what runs inside."""
    threads = str(min(4, os.cpu_count() or 1))
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "PATH": path(environment),
        "HOME": HOME,
        "USER": "oai",
        "LOGNAME": "oai",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(libraries, threads),
        **also,
    }
