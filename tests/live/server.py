"""A model server that runs in a process of its own, for as long as it is needed."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_LOOK_EVERY = 0.2


class Absent(Exception):
    """The server is not here; the message says why."""


@dataclass(frozen=True)
class Live:
    """A server that answers."""

    url: str
    """With its /v1."""
    model: str
    """By which it is asked."""
    busy: Callable[[], int | None]
    """On how many answers it works; None: it does not say."""
    knows_its_names: bool = True
    """Refuses a model that it does not have."""
    knows_its_window: bool = True
    """Refuses what is longer than the model's context; otherwise it works on it for a very long time."""
    counts: bool = True
    """Has a tokenizer that can be asked, so that counts are exact."""
    speaks: Literal["chat_completions", "anthropic", "responses"] = "chat_completions"
    """The API that it is asked by: the type of its backend."""
    enforces: bool = True
    """Holds the smallest model to schemas, calls and grammars. Otherwise it may fail, in words."""


def says_nothing() -> None:
    """`busy` of a server that cannot be asked."""
    return


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def process(
    command: Sequence[str],
    ready: str,
    log: Path,
    patience: float = 120.0,
    environ: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Runs a server until the block ends. It is there when GET of `ready` answers 200. Raises `Absent`."""
    with log.open("wb") as said:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
        try:
            _wait(running, ready, log, patience)
            yield
        finally:
            _stop(running)


def get(url: str, seconds: float = 5.0) -> object:
    """The JSON that an address answers; None: it does not."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            text = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _wait(running: "subprocess.Popen[bytes]", ready: str, log: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while get(ready) is None:
        if running.poll() is not None:
            raise Absent(f"it ended with code {running.returncode}: {_last_line(log)}")
        if time.monotonic() > deadline:
            raise Absent(f"it did not answer within {patience:g} seconds: {_last_line(log)}")
        time.sleep(_LOOK_EVERY)


def _stop(running: "subprocess.Popen[bytes]") -> None:
    """With all that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(running.pid, how)
            running.wait(10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
