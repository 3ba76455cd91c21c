"""The servers that the battery is run against, all on the weights that everybody has.

Those that are Python packages are installed into environments of their own, in `.live/`, when they are first
asked for.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Final, Literal

from tests.live.server import Absent, Live, free_port, get, process, says_nothing

HOME: Final = Path(__file__).parents[2] / ".live"
_NAME: Final = "SmolLM2-135M-Instruct"
_PACKAGES: Final = {
    "litellm": ["litellm[proxy]>=1.108,<2"],
    "transformers": ["transformers[serving]>=5.24,<6", "torch>=2.14", "gguf>=0.19"],
}
_INSTALL_SECONDS: Final = 1200
Maker = Callable[[Path, Path], AbstractContextManager[Live]]
"""Of a server, by the model's file and a folder for its own files."""


@contextmanager
def llama_cpp(model: Path, folder: Path) -> Iterator[Live]:
    """llama.cpp's own server, over TCP."""
    port = free_port()
    command = [sys.executable, "-m", "tests.live.llama_server", str(model), str(port), _NAME]
    url = f"http://127.0.0.1:{port}"

    def busy() -> int:
        slots = get(f"{url}/slots")
        assert isinstance(slots, list), "it does not list its slots"
        return sum(bool(slot["is_processing"]) for slot in slots)

    # Threads that wait must not take the core from the one that they wait for.
    calm = {"OMP_WAIT_POLICY": "passive"}
    with process(command, f"{url}/health", folder / "llama_cpp.log", environ=calm):
        yield Live(f"{url}/v1", _NAME, busy, knows_its_names=False)


@contextmanager
def litellm(model: Path, folder: Path) -> Iterator[Live]:
    """LiteLLM's proxy, over llama.cpp."""
    programs = _installed("litellm")
    with llama_cpp(model, folder) as below:
        upstream = {"model": f"openai/{_NAME}", "api_base": below.url, "api_key": "none"}
        settings = {
            "model_list": [{"model_name": _NAME, "litellm_params": upstream}],
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        }
        config = folder / "litellm.yaml"
        config.write_text(json.dumps(settings), encoding="utf-8")
        port = free_port()
        command = [f"{programs}/litellm", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        with process(
            command, f"http://127.0.0.1:{port}/health/liveliness", folder / "litellm.log", 180, quiet
        ):
            yield Live(f"http://127.0.0.1:{port}/v1", _NAME, below.busy, enforces=False, counts=False)


@contextmanager
def transformers(model: Path, folder: Path) -> Iterator[Live]:
    """`transformers serve`."""
    weights = _unpacked(model)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [f"{_installed('transformers')}/transformers", "serve", str(weights), "--host", "127.0.0.1"]
    with process([*command, "--port", str(port), "--device", "cpu"], f"{url}/health", folder / "tf.log", 300):
        yield Live(
            f"{url}/v1",
            str(weights),
            says_nothing,
            knows_its_names=False,
            knows_its_window=False,
            counts=False,
            enforces=False,
        )


@contextmanager
def vllm(model: Path, folder: Path) -> Iterator[Live]:
    """vLLM, where it is installed."""
    program = which("vllm")
    if program is None:
        raise Absent("it is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [program, "serve", str(_unpacked(model)), "--host", "127.0.0.1", "--port", str(port)]
    named = ["--served-model-name", _NAME, "--max-model-len", "4096"]
    with process([*command, *named], f"{url}/health", folder / "vllm.log", 600):
        yield Live(f"{url}/v1", _NAME, says_nothing)


def speaking(api: Literal["anthropic", "responses"], maker: Maker) -> Maker:
    """The same server, asked by another of its APIs, in which it forces no calls and holds to no schema."""

    @contextmanager
    def made(model: Path, folder: Path) -> Iterator[Live]:
        with maker(model, folder) as live:
            yield replace(live, speaks=api, enforces=False)

    return made


SERVERS: Final[Mapping[str, Maker]] = {
    "llama.cpp": llama_cpp,
    "llama.cpp, Messages": speaking("anthropic", llama_cpp),
    "llama.cpp, Responses": speaking("responses", llama_cpp),
    "LiteLLM": litellm,
    "LiteLLM, Messages": speaking("anthropic", litellm),
    "LiteLLM, Responses": speaking("responses", litellm),
    "transformers": transformers,
    "vLLM": vllm,
}


def _installed(name: str) -> Path:
    """The programs of an environment, which is made when it is missing. Raises `Absent`."""
    place = HOME / name
    stamp = place / ".packages"
    wanted = "\n".join(_PACKAGES[name])
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        print(f"installing  {', '.join(_PACKAGES[name])}", flush=True)
        install = [f"{place}/bin/python", "-m", "pip", "install", "--quiet", *_PACKAGES[name]]
        for command in ([sys.executable, "-m", "venv", str(place)], install):
            _run(command)
        stamp.write_text(wanted, encoding="utf-8")
    return place / "bin"


def _unpacked(model: Path) -> Path:
    """The weights as servers want them that read no GGUF."""
    place = HOME / "weights"
    if not (place / "config.json").is_file():
        unpack = Path(__file__).parent / "unpack.py"
        _run([f"{_installed('transformers')}/python", str(unpack), str(model), str(place)])
    return place


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(str(error)) from error
    if done.returncode:
        raise Absent(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else " ".join(command))
