"""A server under measurement: how it is started, and what the kernel knows of its cost."""

import compileall
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import antiphon as antiphon_package
import bench
from bench.client import Job, Seen

HOST = "127.0.0.1"
PATIENCE = 30.0
"""Seconds in which a server must take its first request."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """In megabytes. `peak` is that since `reset_peak`, `shared_out` counts shared pages in part (PSS)."""

    resident: float
    peak: float
    shared_out: float


class Server:
    """A server at a port of this machine; its cost is known when its process id is."""

    def __init__(self, port: int, pid: int | None, host: str = HOST) -> None:
        self.host = host
        self.port = port
        self.pid = pid

    def cpu(self) -> float:
        """Processor seconds so far, of the process, its threads and its children, those that ended too."""
        return sum(_cpu(pid) for pid in self.pids())

    def memory(self) -> Memory:
        sizes = [memory_of(pid) for pid in self.pids()]
        return Memory(*(sum(column) for column in zip(*sizes, strict=True))) if sizes else Memory(0, 0, 0)

    def reset_peak(self) -> None:
        """The kernel forgets the highest size so far."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def pids(self) -> list[int]:
        """Its process and all below it."""
        return [] if self.pid is None else _family(self.pid)


# ---- what the kernel knows --------------------------------------------------------------------------


def _family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def _cpu(pid: int) -> float:
    """A process's clock counts nanoseconds, of all its threads; /proc counts ticks of 10 ms, but knows of
    children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, user_of_children, system_of_children = (int(ticks) * _TICK for ticks in fields[11:15])
    try:
        own = time.clock_gettime(~pid << 3 | 2)
    except OSError:
        own = user + system
    return own + user_of_children + system_of_children


def memory_of(pid: int) -> Memory:
    """Of one process."""
    status = kilobytes(Path(f"/proc/{pid}/status").read_text())
    try:
        rollup = kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        rollup = {}
    sizes = (status["VmRSS"], status["VmHWM"], rollup.get("Pss", status["VmRSS"]))
    return Memory(*(size / 1024 for size in sizes))


def kilobytes(table: str) -> dict[str, int]:
    """The sizes of a table of the kernel's, by their names."""
    rows = (line.split() for line in table.splitlines() if line.endswith(" kB"))
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


# ---- starting ---------------------------------------------------------------------------------------


def compile_all() -> None:
    """Byte-compiles what the servers import. Some shells forbid Python to keep byte code: each start
    would then cost what only the first one costs."""
    for package in (antiphon_package, bench):
        compileall.compile_dir(Path(package.__file__ or "").parent, quiet=2)
    with antiphon("http://127.0.0.1:9/v1"):
        pass  # the packages that it imports are compiled now


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def upstream(port: int = 0) -> contextlib.AbstractContextManager[Server]:
    port = port or free_port()
    return running(port, "bench.upstream", "--port", str(port))


def floor(url: str, *options: str) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    upstream = url.removesuffix("/v1")
    return running(port, "bench.floor", "--port", str(port), "--upstream", upstream, *options)


@contextlib.contextmanager
def antiphon(
    url: str, *options: str, record: str = "off", stderr: IO[bytes] | None = None
) -> Iterator[Server]:
    """`record`: as `[dashboard]` has it. The budgets are without. `stderr`: where its log goes."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        arguments = ("serve", "--port", str(port), "--upstream", url, "--data-dir", folder, *options)
        command = [sys.executable, "-m", "antiphon", *arguments]
        with _running(port, command, stderr, ANTIPHON_DASHBOARD_RECORD=record) as server:
            yield server


@contextlib.contextmanager
def configured(file: Path, data: Path) -> Iterator[Server]:
    """Antiphon with a configuration of its own."""
    port = free_port()
    options = ("--config", str(file), "--port", str(port), "--data-dir", str(data))
    with _running(port, [sys.executable, "-m", "antiphon", "serve", *options]) as server:
        yield server


@contextlib.contextmanager
def haproxy(url: str) -> Iterator[Server | None]:
    """The physical limit: a proxy written in C that passes everything through, on one thread. None where it
    is not installed."""
    program = shutil.which("haproxy")
    if program is None:
        yield None
        return
    port = free_port()
    with tempfile.NamedTemporaryFile("w", prefix="bench-", suffix=".cfg") as file:
        file.write(_HAPROXY.format(port=port, upstream=urlsplit(url).netloc))
        file.flush()
        with _running(port, [program, "-db", "-f", file.name]) as server:
            yield server


_HAPROXY = f"""
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 600s
    timeout server 600s
frontend bench
    bind {HOST}:{{port}}
    default_backend upstream
backend upstream
    http-reuse always
    server upstream {{upstream}}
"""


def running(port: int, module: str, *arguments: str) -> contextlib.AbstractContextManager[Server]:
    """A server of ours, from its first answer until the block is left."""
    return _running(port, [sys.executable, "-m", module, *arguments])


@contextlib.contextmanager
def _running(
    port: int, command: list[str], stderr: IO[bytes] | None = None, **variables: str
) -> Iterator[Server]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | variables
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        _await_answer(port, process)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until a request is answered, with whatever status."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=PATIENCE) as probe:
            probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            if probe.recv(1):
                return
        time.sleep(0.005)
    raise SystemExit(f"bench: {process.args!r} did not start")


# ---- the load ---------------------------------------------------------------------------------------


def load(job: Job) -> Seen:
    """Runs the job in a process of its own."""
    words = json.dumps(job.__dict__)
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"], input=words, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: the load broke down: {done.stderr.strip().splitlines()[-1]}")
    seen: dict[str, Any] = json.loads(done.stdout)
    return Seen(**seen)
