"""The child process that holds the embedded model: llama.cpp's own HTTP server on a unix socket.

    python -m antiphon.backends.llama_engine --model FILE --socket PATH.sock

It runs apart from us so that native code that crashes never takes the server with it. It lives as long as
its standard input is open: the parent holds the other end, so the child dies with its parent, however
the parent died. SIGTERM has its default effect, at once. The file `PATH.sock.ready` appears when the model is
loaded.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

_ERRORS_ONLY = 1
_PROMPT_CACHE_MIB = 256
_MOST_THREADS = 8
"""More threads make a small model slower."""
_NO_OPENMP = "On Debian and Ubuntu, `apt-get install libgomp1` provides it."


def ready_marker(socket: Path) -> Path:
    """The file that is there while the model behind this socket is loaded."""
    return socket.with_name(f"{socket.name}.ready")


def slots() -> int:
    """How many answers an engine gives at one time: each has a context of its own."""
    return min(max(_cores(), 2), 4)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent: it lets requests end first
    for left_over in (options.socket, ready_marker(options.socket)):
        left_over.unlink(missing_ok=True)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    server = _serve(options)
    ready_marker(options.socket).touch()
    threading.Event().wait()
    del server


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="antiphon.backends.llama_engine")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--alias", default="")
    parser.add_argument("--context", type=int, default=8192, help="tokens that each slot can hold")
    parser.add_argument("--slots", type=int, default=slots(), help="answers at one time")
    parser.add_argument("--threads", type=int, default=min(_cores(), _MOST_THREADS))
    return parser.parse_args()


def _serve(options: argparse.Namespace) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        sys.exit(f"llama.cpp cannot be loaded: {error}. {_NO_OPENMP if 'gomp' in str(error) else ''}")
    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias or options.model.stem}
    params.hostnames = [str(options.socket)]  # a name that ends in .sock is listened on as a unix socket
    params.port = 0
    params.ui = False
    params.endpoint_slots = False
    params.fit_params = False
    params.verbosity = _ERRORS_ONLY
    # Each slot has its own room: a long conversation never takes another one's.
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.kv_unified = False
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    # Threads wait for each other at every step: one that has to share its core makes all of them slow. A core
    # is left to everybody else while tokens are drawn; a prompt has larger steps and uses all of them.
    params.cpuparams.n_threads = max(options.threads - 1, 1)
    params.cpuparams_batch.n_threads = options.threads
    # A conversation may end with the assistant's words: an answer follows them, and does not finish them.
    params.prefill_assistant = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:  # llama.cpp's own log has just said why
        sys.exit(f"llama.cpp does not start: {error}")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _die_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


if __name__ == "__main__":
    main()
