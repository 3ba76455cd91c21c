"""The app of one server process, by the configuration that `serve` left in its environment.

A worker does not carry the command line with it.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec


def application() -> Any:
    """The app, by the configuration that `serve` left in the environment for its workers."""
    from antiphon import config, logs
    from antiphon.application import create_application

    logs.configure()
    _keep_to_ourselves()
    _stop_with(multiprocessing.parent_process())
    app = create_application(config.resolved())
    build_decoders()
    _calm_collector()
    return app


def _keep_to_ourselves() -> None:
    """Programs that we start (MCP servers) must not hold our port when we are gone: uvloop's way of starting
    them hands on every descriptor that may be inherited, and a worker's listening socket may."""
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _stop_with(supervisor: BaseProcess | None) -> None:
    """When it was killed, nobody would stop us any more, and the server could not be started again: we would
    hold its port. Nothing is to be done without one: the process is all of the server."""

    def follow(process: BaseProcess) -> None:
        process.join()
        os.kill(os.getpid(), signal.SIGTERM)

    if supervisor is not None:
        threading.Thread(target=follow, args=(supervisor,), name="supervisor", daemon=True).start()


def build_decoders() -> None:
    """How a type is read, msgspec finds out when it is first read, and a thread that reads it meanwhile takes
    what is half done: the process dies. So it is found out before there is another thread."""
    for kind in _kinds_of(msgspec.Struct):
        with contextlib.suppress(TypeError):  # those that never come from outside need not be readable
            msgspec.json.Decoder(kind)


def _kinds_of(base: type[Any]) -> Iterator[type[Any]]:
    kind: type[Any]
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def _calm_collector() -> None:
    """What there is at the start stays: no collection need look at it. And responses leave next to no
    cycles behind: by Python's own thresholds, a sixth of all time went into looking for them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
