"""The wheel and the sdist: all that belongs in them, and the same bytes each time."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from tests.docs.reading import ROOT

from antiphon import __version__

IGNORED = shutil.ignore_patterns(
    ".git",
    ".venv",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    "node_modules",
    "dist",
    "results",
    "site",
    "build",
)


def package(tree: Path, out: Path, **variables: str) -> dict[str, str]:
    """Digests of what `make package` makes of a tree, by their names."""
    subprocess.run(
        [str(tree / "scripts" / "package"), str(out)],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **variables},
        check=True,
        capture_output=True,
        timeout=300,
    )
    made = (path for path in out.iterdir() if path.name.startswith("antiphon-"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    package(ROOT, out)
    return out


def wheel(made: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(made / f"antiphon-{__version__}-py3-none-any.whl")


def metadata(made: Path) -> "Message[str, str]":
    return message_from_bytes(wheel(made).read(f"antiphon-{__version__}.dist-info/METADATA"))


def test_the_same_tree_elsewhere_and_later_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """Another folder, other times of files, other permissions, another time zone."""
    tree = tmp_path / "elsewhere"
    shutil.copytree(ROOT, tree, ignore=IGNORED, copy_function=shutil.copyfile)
    (tree / "scripts" / "package").chmod(0o755)
    (tree / "src" / "antiphon" / "cli" / "init.py").chmod(0o640)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    first = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made.glob("antiphon-*")}

    assert package(tree, tmp_path / "dist", TZ="Asia/Tokyo", LC_ALL="C") == first
    assert len(first) == 2


def test_the_wheel_has_every_file_of_the_package(made: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/antiphon"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = {path.removeprefix("src/") for path in listed.stdout.splitlines() if (ROOT / path).is_file()}
    packed = {name for name in wheel(made).namelist() if ".dist-info/" not in name}

    assert packed == files
    for needed in ("py.typed", "dashboard/static/htmx-LICENSE", "dashboard/templates/layout.html"):
        assert f"antiphon/{needed}" in packed
    for home in ("sqlite", "postgres"):
        assert any(name.startswith(f"antiphon/store/migrations/{home}/") for name in packed)


def test_the_wheel_says_what_it_is(made: Path) -> None:
    about = metadata(made)

    assert about["Version"] == __version__
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert set(about.get_all("Provides-Extra", [])) >= {
        "all",
        "postgres",
        "retrieval",
        "s3",
        "sandbox",
        "web",
    }
    assert (
        wheel(made).read(f"antiphon-{__version__}.dist-info/licenses/LICENSE")
        == (ROOT / "LICENSE").read_bytes()
    )
    scripts = wheel(made).read(f"antiphon-{__version__}.dist-info/entry_points.txt").decode()
    assert "antiphon = antiphon.cli:main" in scripts


def test_the_sdist_has_the_sources_the_documents_and_what_deploys_it(made: Path) -> None:
    with tarfile.open(made / f"antiphon-{__version__}.tar.gz") as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
        times = {member.mtime for member in tar.getmembers()}

    assert {"src/antiphon/py.typed", "docs/README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert any(name.startswith("deploy/") for name in names)
    assert not any(name.startswith(("tests/", "bench/", ".venv")) for name in names)
    assert times == {1790000000}


def test_the_changelog_has_the_version_or_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"## [{__version__}]" in text or "## [Unreleased]" in text
