"""The commands of docs/install.md, and the sentence that it shows."""

import os
import subprocess
import sys
from pathlib import Path

from tests.commands import Run, one_sentence, run
from tests.docs.reading import blocks, named
from tests.scripted import Upstream

__all__ = ["run"]

PAGE = "docs/install.md"


def shell(text: str, folder: Path) -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANTIPHON_DATA_DIR": str(folder / "data"),
        "ANTIPHON_SERVER_PORT": "0",
    }
    return subprocess.Popen(
        ["/bin/sh", "-euc", f"exec {text}"],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_from_nothing_to_a_server_by_the_commands_of_the_page(upstream: Upstream, tmp_path: Path) -> None:
    with shell(f"{named(PAGE, 'init').strip()} --yes --upstream {upstream.base_url}", tmp_path) as init:
        assert "antiphon serve" in init.communicate(timeout=60)[0]
    with shell(named(PAGE, "doctor"), tmp_path) as doctor:
        assert "ok      backend main: " in doctor.communicate(timeout=60)[0]
    with shell(named(PAGE, "serve"), tmp_path) as serve:
        assert serve.stdout is not None
        try:
            assert any("listens on" in line for line in serve.stdout)
        finally:
            serve.terminate()


def test_the_sentence_of_a_server_without_keys_is_the_one_that_is_said(run: Run) -> None:
    (said,) = (block.text for block in blocks(PAGE, "text") if block.text.startswith("antiphon: "))

    assert one_sentence(run("serve", "--host", "0.0.0.0")) == said
