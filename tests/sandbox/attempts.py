"""What code tries inside that wants to get out: standard library alone, run by the tests in a sandbox.

Reads what it is to look for as JSON, and prints what became of each attempt: how it was refused, or what it
came to, behind "PASSED".
"""

import ctypes
import errno
import glob
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable

with open("/mnt/data/given.json") as _file:
    GIVEN = json.load(_file)
CALLS = GIVEN["calls"]
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
attempts: dict[str, Callable[[], object]] = {}
SECONDS = 1.0


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    """Passes when the function returns something that is true; raising or returning nothing is a refusal."""
    attempts[function.__name__] = function
    return function


def call(name: str, *arguments: int | bytes) -> object:
    """A system call. Raises OSError when it is refused."""
    given = [each if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    if name not in CALLS:
        return None
    result = _libc.syscall(ctypes.c_long(CALLS[name]), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), errno.errorcode.get(ctypes.get_errno(), "?"))
    return f"{name} returned {result}"


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(200_000)


def text(path: str) -> str:
    return read(path).decode(errors="replace")


def write(path: str) -> object:
    with open(path, "r+b") as file:
        file.write(b"0")
    return f"wrote {path}"


# Files of the host.


for _path in (
    *(
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/machine-id",
        "/etc/ssl/private",
        "/var/lib/dpkg/status",
    ),
    *(
        "/var/log/dpkg.log",
        "/sys/kernel/notes",
        "/sys/fs/cgroup/cgroup.procs",
        "/root/.bashrc",
        "/proc/kcore",
    ),
    *("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/keys", "/dev/mem", "/dev/kmsg", "/dev/vda"),
    *("/dev/sda", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/proc/1/root/etc/shadow", "/proc/1/cwd/f"),
    *("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/boot/grub/grub.cfg"),
    *GIVEN["host_files"],
):
    attempts[f"read {_path}"] = lambda path=_path: read(path)

for _path in (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches"),
    *("/proc/sysrq-trigger", "/usr/bin/env", "/etc/passwd", "/etc/hosts", "/proc/1/oom_score_adj"),
    *("/run/agent/antiphon/sandbox/agent/main.py", f"{sys.prefix}/bin/python3", "/proc/1/comm"),
):
    attempts[f"write {_path}"] = lambda path=_path: write(path)

for _path in ("/", "/usr/bin", "/etc", "/dev", "/opt", "/home", "/run", "/home/oai/skills", "/mnt", "/proc"):
    attempts[f"make a file in {_path}"] = lambda path=_path: open(f"{path}/made", "w").close() or path


@attempt
def devices_are_there() -> object:
    known = {"null", "zero", "full", "random", "urandom", "tty", "core", "fd", "ptmx", "pts", "shm", "stdin"}
    return set(os.listdir("/dev")) - known - {"stdout", "stderr", "console"}


@attempt
def secret_is_in_some_environment() -> object:
    secret = GIVEN["secret"].encode()
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if secret in read(path):
                return path
        except OSError:
            continue
    return None


@attempt
def folders_of_the_host_are_there() -> object:
    known = {
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
    }
    known |= {"sbin", "tmp", "usr", "var", *GIVEN["first_folders"]}
    return (
        set(os.listdir("/")) - known
        or set(os.listdir("/home")) - {"oai"}
        or set(os.listdir("/var")) - {"tmp"}
    )


@attempt
def a_mount_can_be_written_that_should_not() -> object:
    writable = {"/tmp", "/dev/shm", "/home/oai", "/mnt/data", "/run/antiphon", "/proc"}
    return [
        line.split()[1]
        for line in text("/proc/self/mounts").splitlines()
        if line.split()[3].startswith("rw")
        and line.split()[1] not in writable
        and line.split()[2] not in ("devpts", "devtmpfs")
        and not line.split()[1].startswith("/dev/")
    ]


# Other processes.


@attempt
def processes_of_the_host_are_seen() -> object:
    return len([name for name in os.listdir("/proc") if name.isdecimal()]) > 12


@attempt
def a_process_of_the_host_gets_a_signal() -> object:
    return os.kill(GIVEN["host_process"], 0) or "it is there"


@attempt
def process_1_is_stopped_or_ended() -> object:
    for number in (
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGTERM,
        signal.SIGSEGV,
        signal.SIGINT,
        signal.SIGQUIT,
    ):
        os.kill(1, number)
    return text("/proc/1/stat").split()[2] not in "SR"


@attempt
def descriptors_of_process_1_are_opened() -> object:
    return os.listdir("/proc/1/fd")


@attempt
def descriptors_of_the_parent_are_opened() -> object:
    parent = int(text(f"/proc/{os.getppid()}/stat").rpartition(")")[2].split()[1])
    return os.listdir(f"/proc/{parent}/fd")


@attempt
def descriptors_are_inherited() -> object:
    mine = os.open("/", os.O_RDONLY)
    return [
        os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if 2 < int(name) < mine
    ]


# The network.


def connect(address: tuple[str, int] | str, family: int = socket.AF_INET) -> object:
    with socket.socket(family) as client:
        client.settimeout(SECONDS)
        client.connect(address)
        return f"connected to {address!r}"


attempts["tcp to the host's loopback"] = lambda: connect(("127.0.0.1", GIVEN["port"]))
attempts["tcp to the host's loopback, IPv6"] = lambda: connect(("::1", GIVEN["port"]), socket.AF_INET6)
attempts["tcp to the metadata service"] = lambda: connect(("169.254.169.254", 80))
attempts["tcp outside"] = lambda: connect(("1.1.1.1", 443))
attempts["tcp to the host's own addresses"] = lambda: any(connect((each, 22)) for each in GIVEN["addresses"])
attempts["socket of the host without a file"] = lambda: connect("\0" + GIVEN["abstract"], socket.AF_UNIX)
attempts["a name is resolved"] = lambda: socket.getaddrinfo("example.com", 443)


@attempt
def udp_leaves() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("8.8.8.8", 53))


@attempt
def there_are_interfaces() -> object:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


def of_family(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> object:
    for each in (kind, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, each, protocol).close()
        except OSError:
            continue
        return f"a socket of family {family}"
    return None


for _family in (*range(3, 10), *range(11, 16), *range(17, 46)):
    attempts[f"socket of family {_family}"] = lambda family=_family: of_family(family)
for _protocol in (1, 2, 33, 132, 136, 255, 256, 262):
    attempts[f"protocol {_protocol}"] = lambda protocol=_protocol: of_family(
        socket.AF_INET, protocol=protocol
    )
for _protocol in range(1, 24):
    attempts[f"netlink {_protocol}"] = lambda protocol=_protocol: of_family(
        socket.AF_NETLINK, protocol=protocol
    )


@attempt
def an_interface_is_made_by_netlink() -> object:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        route.bind((0, 0))
        link = struct.pack("=BxHiII", 0, 0, 0, 1, 1)
        attribute = struct.pack("=HH", 8, 3) + b"dmy\0"
        kind = struct.pack("=HH", 12, 18) + struct.pack("=HH", 8, 1) + b"dum\0"
        body = link + attribute + kind
        route.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        (error,) = struct.unpack_from("=i", route.recv(4096), 16)
        return error == 0


# The kernel.

NEW = {
    "user": 0x10000000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x80,
    "cgroup": 0x2000000,
}
for _name, _flag in NEW.items():
    attempts[f"unshare {_name}"] = lambda flag=_flag: call("unshare", flag)
    if _name != "time":
        attempts[f"clone {_name}"] = lambda flag=_flag: call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)

_PAGE = ctypes.create_string_buffer(4096)
_AT = ctypes.addressof(_PAGE)
for _name, *_arguments in (
    *(("io_uring_setup", 8, _AT), ("io_uring_enter", 0, 0, 0, 0), ("io_uring_register", 0, 0, 0, 0)),
    *(("keyctl", 0, -3, 0), ("add_key", _AT, _AT, _AT, 1, -3), ("request_key", _AT, _AT, _AT, -3)),
    *(("bpf", 0, _AT, 128), ("bpf", 5, _AT, 128), ("perf_event_open", _AT, 0, -1, -1, 0), ("userfaultfd", 0)),
    *(("ptrace", 0, 0, 0, 0), ("ptrace", 16, 1, 0, 0), ("process_vm_readv", 1, _AT, 1, _AT, 1, 0)),
    *(("process_vm_writev", 1, _AT, 1, _AT, 1, 0), ("pidfd_getfd", 0, 0, 0), ("kcmp", 1, 1, 0, 0, 0)),
    *(("process_madvise", 0, _AT, 1, 4, 0), ("move_pages", 0, 0, 0, 0, 0, 0), ("migrate_pages", 0, 0, 0, 0)),
    *(("name_to_handle_at", -100, _AT, _AT, _AT, 0), ("open_by_handle_at", -100, _AT, 0)),
    *(("kexec_load", 0, 0, 0, 0), ("kexec_file_load", 0, 0, 0, _AT, 0), ("init_module", _AT, 1, _AT)),
    *(("finit_module", 0, _AT, 0), ("delete_module", _AT, 0), ("setns", 0, 0), ("chroot", b"/tmp")),
    *(("mount", b"none", b"/tmp", b"tmpfs", 0, 0), ("mount", b"/usr", b"/tmp", b"", 4096, 0)),
    *(("umount2", b"/etc/passwd", 0), ("umount2", b"/proc", 2), ("pivot_root", b"/tmp", b"/tmp")),
    *(("fsopen", b"tmpfs", 0), ("fsmount", 0, 0, 0), ("fspick", -100, b"/", 0), ("open_tree", -100, b"/", 1)),
    *(("move_mount", -100, b"/tmp", -100, b"/mnt", 0), ("mount_setattr", -100, b"/usr", 0, _AT, 32)),
    *(("listmount", _AT, _AT, 1, 0), ("statmount", _AT, _AT, 4096, 0), ("quotactl", 0, 0, 0, 0)),
    *(("personality", 0x40000), ("personality", 8), ("syslog", 3, _AT, 4096), ("syslog", 10, 0, 0)),
    *(("reboot", 0xFEE1DEAD, 672274793, 0, 0), ("acct", b"/tmp/a"), ("swapon", b"/tmp/a", 0), ("vhangup",)),
    *(("settimeofday", _AT, 0), ("clock_settime", 0, _AT), ("clock_adjtime", 0, _AT), ("adjtimex", _AT)),
    *(("sethostname", b"x", 1), ("setdomainname", b"x", 1), ("iopl", 3), ("ioperm", 0, 1, 1)),
    *(("modify_ldt", 1, _AT, 16), ("vmsplice", 1, _AT, 1, 0), ("fanotify_init", 0, 0), ("io_setup", 1, _AT)),
    *(("memfd_create", b"x", 0), ("memfd_secret", 0), ("shmget", 0, 4096, 0o1600), ("msgget", 0, 0o1600)),
    *(
        ("semget", 0, 1, 0o1600),
        ("mq_open", b"x", 0o102, 0o600, 0),
        ("clone3", _AT, 64),
        ("uselib", b"/bin/sh"),
    ),
    *(("mbind", _AT, 4096, 0, 0, 0, 0), ("set_mempolicy", 0, 0, 0), ("remap_file_pages", _AT, 0, 0, 0, 0)),
    *(("lookup_dcookie", 0, _AT, 1), ("seccomp", 0, 0, 0), ("map_shadow_stack", 0, 4096, 0)),
    *(("mknod", b"/tmp/d", 0o60600, 0x801), ("mknod", b"/tmp/d", 0o20600, 0x101)),
    *(("mknodat", -100, b"/tmp/d", 0o60600, 0x801), ("mknodat", -100, b"/tmp/d", 0o20600, 0x101)),
    *(("setuid", 0), ("setresuid", 0, 0, 0), ("setgid", 0), ("setgroups", 1, _AT), ("setresgid", 0, 0, 0)),
    *(("ioctl", 0, 0x5412, _AT), ("ioctl", 0, 0x541C, _AT)),
):
    _label = f"{_name} {' '.join(str(each) if each != _AT else 'x' for each in _arguments)}"
    attempts[_label] = lambda name=_name, arguments=tuple(_arguments): call(name, *arguments)


def of_child(become: Callable[[], object]) -> object:
    """What a child does that may not live; it passes when it exits with 77."""
    child = os.fork()
    if not child:
        try:
            become()
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code == 77


def run_code(code: bytes) -> int:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_long)(at)())


if os.uname().machine == "x86_64":
    # mov eax, 20 (getpid); int 0x80; ret
    _OLD = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    attempts["calls of i386"] = lambda: of_child(lambda: os._exit(77 if run_code(_OLD) > 0 else 1))
    # mov eax, 0x40000027 (getpid of x32); syscall; ret
    _X32 = b"\xb8\x27\x00\x00\x40\x0f\x05\xc3"
    attempts["calls of x32"] = lambda: of_child(lambda: os._exit(77 if run_code(_X32) > 0 else 1))


# Rights.


@attempt
def rights_are_left() -> object:
    status = dict(line.split(":", 1) for line in text("/proc/self/status").splitlines())
    sets = [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    others = [status["NoNewPrivs"].strip() != "1", status["Seccomp"].strip() != "2", status["Groups"].strip()]
    return [each for each in sets if int(each, 16)] or [each for each in others if each]


@attempt
def a_program_that_changes_its_user_does() -> object:
    found = []
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib/openssh"):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            mode = os.lstat(f"{folder}/{name}").st_mode
            if stat.S_ISREG(mode) and mode & stat.S_ISUID:
                found.append(f"{folder}/{name}")
    return [flag for path in found for flag in ["nosuid"] if not os.statvfs(path).f_flag & os.ST_NOSUID]


@attempt
def su_and_sudo_work() -> object:
    commands = [["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["pkexec", "id", "-u"], ["newgrp", "root"]]
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5, check=False
            )
        except FileNotFoundError:
            continue
        if done.stdout.strip() == b"0":
            return command
    return None


@attempt
def an_own_program_changes_its_user() -> object:
    with open("/tmp/own", "wb") as file:
        file.write(read("/usr/bin/id"))
    os.chmod("/tmp/own", 0o6755)
    return subprocess.run(["/tmp/own", "-u"], capture_output=True, check=True).stdout.strip() == b"0"


@attempt
def limits_are_raised() -> object:
    passed = []
    for name in ("RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CORE"):
        _, hard = resource.getrlimit(getattr(resource, name))
        try:
            resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1))
        except (OSError, ValueError):
            continue
        passed.append(name)
    return passed


attempts["nicer"] = lambda: os.nice(-10) or "it is nicer"
attempts["real time"] = lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "it is"


def main() -> None:
    came_of = {}
    for name, function in attempts.items():
        try:
            result = function()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            came_of[name] = f"{type(error).__name__}: {error}"
        else:
            came_of[name] = f"PASSED: {result}"[:300] if result else "nothing"
    print(json.dumps(came_of))


main()
