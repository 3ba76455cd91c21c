"""`python -m scripts.site` (or `make docs`) builds the site of the documents into `site/`. It fails when a
link or an anchor leads nowhere."""

import re
import subprocess
import sys
from pathlib import Path

from scripts.docs.regions import ROOT
from scripts.site.staging import stage

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""The builder colours each letter for itself."""


def build() -> "subprocess.CompletedProcess[str]":
    """What the builder says; its exit code is 1 when something is wrong."""
    stage()
    zensical = Path(sys.executable).with_name("zensical")
    return subprocess.run(
        [zensical, "build", "--clean", "--strict"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


if __name__ == "__main__":
    built = build()
    if built.returncode:
        sys.exit(_COLOURS.sub("", f"{built.stdout}{built.stderr}"))
    print("the site is in site/: python -m http.server -d site")
