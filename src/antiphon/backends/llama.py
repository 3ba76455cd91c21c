"""The embedded model: a supervised child process, and the backend that speaks to it.

Whoever runs `antiphon serve` owns the process (`LlamaProcess`); any number of server workers reach it by the
path of its unix socket (`embedded`). They need no other word from the owner: files beside the socket say
whether the model is loaded (`.ready`) and what is wrong when it cannot be (`.trouble`).
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Self

from antiphon.backends.bounded import Bounded, WithoutLoops
from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.embedded import CONTEXT_WINDOW, SMOLLM2, Embedded
from antiphon.backends.emulated import EmulatedTools
from antiphon.backends.llama_engine import ready_marker
from antiphon.backends.passthrough import refuse_forms
from antiphon.model import Backend
from antiphon.protocol import errors
from antiphon.weights.reference import DEFAULT_NAME

_PATIENCE = 30.0
_LOOK_EVERY = 0.02
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_CRASHES_BEFORE_TROUBLE = 3


def embedded(
    socket: Path,
    model: Embedded = SMOLLM2,
    *,
    patience: float = _PATIENCE,
    timeout: float = 600.0,
    max_output_tokens: int | None = None,
    text_runs: bool = True,
    name: str | None = None,
) -> Backend:
    """The model behind the socket of a `LlamaProcess`, which may live in another process. Its answers have at
    most `max_output_tokens` when nothing else is said. `name`: under which it is configured."""
    engine: Backend = ChatCompletions(
        "http://embedded/v1",
        dialect=model.dialect,
        unix_socket=str(socket),
        ready=readiness(socket, patience),
        can=lambda _: model.can,
        # After a streamed answer llama.cpp hangs up without saying so; a unix socket is opened in no time.
        headers={"Connection": "close"},
        read_timeout=timeout,
        text_runs=text_runs,
        check_passed=refuse_forms,
        name=name,
    )
    if most := max_output_tokens or model.max_output_tokens:
        engine = Bounded(engine, most)
    return EmulatedTools(WithoutLoops(engine))


class LlamaProcess:
    """Runs the engine, starts it again when it crashes (ever more slowly), and stops it."""

    def __init__(
        self, model: Path, *, log: Path, alias: str = DEFAULT_NAME, context: int = CONTEXT_WINDOW
    ) -> None:
        self._model = model
        self._log = log
        self._alias = alias
        self._context = context
        # A unix socket's path must be short (104 bytes on macOS): the data directory's may be too long.
        self._folder = Path(tempfile.mkdtemp(prefix="antiphon-"))
        self.socket = self._folder / "llama.sock"
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="llama", daemon=True)

    @property
    def pid(self) -> int | None:
        """The engine's process, when there is one."""
        child = self._child
        return child.pid if child and child.poll() is None else None

    def start(self) -> None:
        """Returns at once; the model loads in the background."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._supervisor.start()

    def stop(self, patience: float = 5.0) -> None:
        """Ends the engine, and returns when it is gone."""
        with self._lock:
            self._stopping.set()
            child = self._child
        if child:
            child.terminate()
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._supervisor.is_alive():
            self._supervisor.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _supervise(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            loaded, code = self._run_once()
            crashes = 1 if loaded else crashes + 1
            if crashes >= _CRASHES_BEFORE_TROUBLE:
                self._tell_trouble(crashes, code)
            self._stopping.wait(min(_FIRST_PAUSE * 2 ** (crashes - 1), _LONGEST_PAUSE))

    def _run_once(self) -> tuple[bool, int]:
        """One life of the engine: whether its model came to be loaded, and how it ended."""
        with self._log.open("ab") as log:
            try:
                child = self._spawn(log)
            except OSError as error:
                log.write(f"The engine cannot be started: {error}\n".encode())
                return False, error.errno or 1
            if child is None:
                return False, 0
            code = child.wait()
        if child.stdin:
            child.stdin.close()
        ready = ready_marker(self.socket)
        loaded = ready.exists()
        ready.unlink(missing_ok=True)
        if loaded:
            trouble_note(self.socket).unlink(missing_ok=True)
        return loaded, code

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
        command = [sys.executable, "-m", "antiphon.backends.llama_engine"]
        command += ["--model", str(self._model), "--socket", str(self.socket)]
        command += ["--alias", self._alias, "--context", str(self._context)]
        with self._lock:
            if self._stopping.is_set():
                return None
            # The pipe closes when we die, however that is; a session of its own keeps Ctrl-C from the child.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Threads that wait must not take the core from the one that they wait for.
                env={"OMP_WAIT_POLICY": "passive", **os.environ},
            )
            return self._child

    def _tell_trouble(self, crashes: int, code: int) -> None:
        note = trouble_note(self.socket)
        new = note.with_name(f"{note.name}.new")
        said = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        new.write_text(
            f"The embedded model does not start: its engine ended {crashes} times, last with code {code} "
            f"({last}). Its log is {self._log}.",
            encoding="utf-8",
        )
        new.replace(note)


def trouble_note(socket: Path) -> Path:
    """The file that says what is wrong, while the engine cannot be started."""
    return socket.with_name(f"{socket.name}.trouble")


def readiness(socket: Path, patience: float = _PATIENCE) -> Callable[[], Awaitable[None]]:
    """What a request awaits before it goes to the engine: nothing once the model is loaded.

    Raises `errors.Unavailable` when the model is not loaded after `patience` seconds, or cannot be.
    """
    ready, trouble = str(ready_marker(socket)), trouble_note(socket)

    async def wait() -> None:
        deadline = time.monotonic() + patience
        while not os.path.exists(ready):  # noqa: ASYNC240 - microseconds, on a file that we own
            _raise_trouble(trouble)
            if time.monotonic() > deadline:
                raise errors.Unavailable(
                    "The embedded model is still starting. Try again in a few seconds.", retry_after=5
                )
            await asyncio.sleep(_LOOK_EVERY)

    return wait


def _raise_trouble(note: Path) -> None:
    try:
        raise errors.Unavailable(note.read_text(encoding="utf-8"), retry_after=30)
    except FileNotFoundError:
        return
