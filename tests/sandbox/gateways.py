"""A real Jupyter Kernel Gateway, installed once, on a machine of its own as far as it can see."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kept_python import kept
from tests.ports import Port

from antiphon.sandbox.environment import Environment, Recipe

TOKEN = "a-token-of-the-gateway"
_PATIENCE = 180.0


def _installed() -> Environment:
    lock = Path(__file__).with_name("gateway.lock").read_text(encoding="utf-8")
    return kept("gateway", Recipe(lock, "import kernel_gateway, ipykernel"))


@contextlib.contextmanager
def gateway(home: Path) -> Iterator[str]:
    """Its URL. Its kernels share the folder /mnt, which is theirs."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    program = _installed().folder / "bin" / "jupyter-kernelgateway"
    held = Port()
    port = held.number
    own = ["--dev-bind", "/", "/", "--tmpfs", "/mnt", "--proc", "/proc", "--unshare-pid", "--die-with-parent"]
    options = [f"--KernelGatewayApp.port={port}", "--KernelGatewayApp.port_retries=0"]
    variables = {"KG_AUTH_TOKEN": TOKEN, "HOME": str(home), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(["bwrap", *own, program, *options], env=variables, stdout=log, stderr=log)
        try:
            _wait(port, process, home / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(int(_PATIENCE / 0.1)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    raise RuntimeError(log.read_text())
