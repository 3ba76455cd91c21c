"""What a kernel on another machine does for its sandbox besides running code: files and a shell.

Runs there, in a module of its own, on the standard library alone. Each function is called with JSON and gives
JSON.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import threading
from typing import IO, Any

FREE = "free"
TAKEN = "taken"


def begin(data: str, skills: str, mark: str, key: str) -> str:
    """Make the folders; a kernel that was started again finds its own. `taken`: they belong to another one
    that lives, and this one would share them."""
    owner, process = _owner(mark)
    if owner != key:
        if process and os.path.exists(f"/proc/{process}"):
            return TAKEN
        for folder in (data, skills):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (data, skills):
        os.makedirs(folder, exist_ok=True)
    with open(mark, "w") as file:
        file.write(f"{key} {os.getpid()}")
    os.chdir(data)
    return FREE


def end(data: str, skills: str, mark: str, key: str) -> None:
    if _owner(mark)[0] != key:
        return
    for folder in (data, skills):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.unlink(mark)


def _owner(mark: str) -> tuple[str, str]:
    """The key of whom the folders belong to, and its process."""
    try:
        with open(mark) as file:
            key, _, process = file.read().partition(" ")
            return key, process
    except OSError:
        return "", ""


def write(path: str, content: str, first: bool) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if first and os.path.lexists(path):
        os.unlink(path)
    with open(path, "ab") as file:
        file.write(base64.b64decode(content))


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def files(data: str, most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for folder, _, names in os.walk(data):
        for name in names:
            path = os.path.join(folder, name)
            if not _is_text(path):
                continue
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and len(found) < most:
                found.append({"path": path, "size": status.st_size, "modified_ns": status.st_mtime_ns})
    return found


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(path: str, offset: int, size: int) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        file.seek(offset)
        return base64.b64encode(file.read(size)).decode()


class Kept:
    """Reads a stream to its end, and keeps so many characters of its beginning and its end."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._half = max(1, most // 2)
        self._head = b""
        self._tail = b""
        self._left_out = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while piece := self._stream.read1(65536):  # type: ignore[attr-defined]
            room = self._half - len(self._head)
            self._head += piece[:room]
            rest = self._tail + piece[room:] if room < len(piece) else self._tail
            self._left_out = self._left_out or len(rest) > self._half
            self._tail = rest[-self._half :]

    def text(self) -> str:
        mark = b"\n[... left out ...]\n" if self._left_out else b""
        return (self._head + mark + self._tail).decode(errors="replace")


def run(command: str, data: str, seconds: float, most: int) -> dict[str, Any]:
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=data,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stderr
    out, err = Kept(process.stdout, most), Kept(process.stderr, most)
    code: int | None
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for kept in (out, err):
        kept.thread.join(1)
    return {"stdout": out.text(), "stderr": err.text(), "exit_code": code}


def call(name: str, arguments: str) -> str:
    """What the sandbox asks for, as JSON in base64: nothing in it is shown as another character."""
    answer = json.dumps(globals()[name](**json.loads(arguments)))
    return base64.b64encode(answer.encode()).decode()
