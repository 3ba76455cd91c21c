"""`antiphon files` and `antiphon search`, as a user meets them: beside a server and without one."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from openai import BadRequestError, OpenAI
from tests.commands import Run, one_sentence, run
from tests.conftest import checked_client
from tests.killed import Killed
from tests.papers import pdf
from tests.scripted import Upstream
from tests.tools.embedders import ServedEmbedder

from antiphon.config import hash_key

__all__ = ["run"]

OAKS = "# Oaks\n\nAn oak lives for a thousand years.\n"
BIRCHES = "# Birches\n\nA birch has white bark.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, and what is none."""
    folder = tmp_path / "trees"
    for name, data in {
        "oaks.md": OAKS.encode(),
        "white/birches.md": BIRCHES.encode(),
        "white/table.csv": b"tree,height\nbirch,20\n",
        "photo.png": b"\x89PNG",
        "empty.txt": b"",
        ".git/config": b"[core]",
        ".secret": b"secret",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(tmp_path)
    (folder / "gone.txt").symlink_to(tmp_path / "nothing")
    return folder


def listed(run: Run, *options: str) -> list[dict[str, object]]:
    done = run("files", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_folder_becomes_a_store_that_is_searched(run: Run, folder: Path) -> None:
    added = run("files", "add", str(folder), "--store", "trees")
    found = run("search", "trees", "How old does an oak become?")

    assert added.returncode == 0, added.stderr
    assert added.stdout.endswith(": 3 added, 0 replaced, 0 unchanged, 0 failed\n")
    names = ["oaks.md", "white/birches.md", "white/table.csv"]
    assert [(file["status"], file["name"]) for file in listed(run, "--store", "trees")] == [
        ("completed", name) for name in names
    ]
    assert [file["name"] for file in listed(run)] == names
    score, name = found.stdout.splitlines()[0].split()
    assert 0 < float(score) <= 1
    assert name == "oaks.md"
    assert "    An oak lives for a thousand years." in found.stdout.splitlines()


def test_what_is_left_out_is_said_with_its_reason(run: Run, folder: Path) -> None:
    said = run("files", "add", str(folder), "--store", "trees").stderr.splitlines()

    assert sorted(line.removeprefix(f"skipped  {folder}/") for line in said) == [
        ".git: hidden",
        ".secret: hidden",
        "empty.txt: empty",
        "gone.txt: cannot be read: No such file or directory",
        "link: a link to a folder",
        "photo.png: .png files are not taken",
        "pipe: not a file",
    ]


def test_given_again_it_adds_what_is_new_and_replaces_what_changed(run: Run, folder: Path) -> None:
    run("files", "add", str(folder), "--store", "trees")
    before = {file["name"]: file["file"] for file in listed(run, "--store", "trees")}
    (folder / "beeches.md").write_text("# Beeches\n\nA beech casts deep shade.\n")
    (folder / "oaks.md").write_text("# Oaks\n\nAn oak is felled after two hundred years.\n")

    again = run("files", "add", str(folder), "--store", "trees")
    third = run("files", "add", str(folder), "--store", "trees")

    after = {file["name"]: file["file"] for file in listed(run, "--store", "trees")}
    assert again.stdout.endswith(": 1 added, 1 replaced, 2 unchanged, 0 failed\n")
    assert third.stdout.endswith(": 0 added, 0 replaced, 4 unchanged, 0 failed\n")
    assert len(listed(run, "--store", "trees")) == 4
    assert {name for name in before if after[name] != before[name]} == {"oaks.md"}
    found = run("search", "trees", "How long does an oak live?", "--limit", "9").stdout
    assert "thousand" not in found
    assert "two hundred" in found


def test_a_file_that_cannot_be_indexed_is_named_and_the_others_are_there(run: Run, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(pdf("Hello")[:60])

    added = run("files", "add", str(folder), "--store", "trees")

    assert added.returncode == 1
    assert added.stdout.endswith(": 4 added, 0 replaced, 0 unchanged, 1 failed\n")
    assert "failed  broken.pdf: The file could not be read" in added.stderr
    assert "Traceback" not in added.stderr
    assert [file["status"] for file in listed(run, "--store", "trees")].count("completed") == 3


def test_of_two_files_with_one_name_the_first_is_taken(run: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "oaks.md"
    other.write_text(BIRCHES)

    added = run("files", "add", str(folder / "oaks.md"), str(other), "--store", "trees")

    assert added.stdout.endswith(": 1 added, 0 replaced, 0 unchanged, 0 failed\n")
    assert added.stderr == f"skipped  {other}: another file is called oaks.md\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["files", "add", "nowhere", "--store", "a"], "There is no nowhere."),
        (["files", "add", ".", "--store", "a"], "There is nothing to add."),
        (
            ["files", "list", "--store", "a"],
            "There is no store 'a' in the project 'default'. There are: none.",
        ),
        (["files", "reindex", "a"], "There is no store 'a'"),
        (["search", "a", "b"], "There is no store 'a'"),
        (["search", "a", " "], "There is nothing to look for."),
        (["files", "list", "--project", "x"], "No key is of the project 'x'. There are: default."),
        (["files", "list", "--config", "none.toml"], "none.toml cannot be read"),
        (["files", "list", "--data-dir", "/dev/null/x"], "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, arguments: list[str], said: str) -> None:
    assert said in one_sentence(run(*arguments))


def test_a_file_that_is_no_database_is_one_sentence_for_these_commands_too(
    run: Run,
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "antiphon.db").write_bytes(b"This is my diary. " * 1000)

    assert "file is not a database" in one_sentence(run("search", "a", "b"))


def test_every_project_has_files_of_its_own(run: Run, folder: Path, tmp_path: Path) -> None:
    keys = f'[server.keys]\none = "{hash_key("sk-1")}"\ntwo = "{hash_key("sk-2")}"\n'
    (tmp_path / "antiphon.toml").write_text(keys)

    unsaid = run("files", "list")
    run("files", "add", str(folder), "--store", "trees", "--project", "one")

    assert "Whose files? Say --project with one of one, two." in one_sentence(unsaid)
    assert len(listed(run, "--project", "one")) == 3
    assert listed(run, "--project", "two") == []
    assert "no store 'trees'" in one_sentence(run("search", "trees", "oak", "--project", "two"))


def test_a_project_of_a_key_that_was_made_at_run_time_has_files_too(run: Run, folder: Path) -> None:
    made = ("files", "add", str(folder), "--store", "trees", "--project", "shop")
    run("key", "create", "ann")

    unknown = run(*made)
    run("key", "create", "bob", "--project", "shop")
    run(*made)

    assert "No key is of the project 'shop'. There are: default." in one_sentence(unknown)
    assert len(listed(run, "--project", "shop")) == 3
    assert listed(run) == []


def test_a_project_that_is_full_takes_no_more(run: Run, folder: Path) -> None:
    (folder / "large.txt").write_text("word " * 1000)
    full = {"ANTIPHON_LIMITS_STORED_BYTES": "2000"}

    added = run("files", "add", str(folder / "large.txt"), "--store", "trees", **full)

    assert "may keep 2000 (stored_bytes of [limits])" in one_sentence(added)


# ---- another embedder -------------------------------------------------------------------------------


def remade(tmp_path: Path, embedder: str) -> None:
    """As if all stores had been made with it."""
    with closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as database, database:
        database.execute("UPDATE vector_stores SET embedder = ?", (embedder,))
        database.execute("UPDATE vector_store_files SET embedder = ?", (embedder,))


@pytest.mark.parametrize("named", [["trees"], []])
def test_a_store_of_another_embedder_is_indexed_anew(
    run: Run,
    folder: Path,
    tmp_path: Path,
    named: list[str],
) -> None:
    run("files", "add", str(folder), "--store", "trees")
    remade(tmp_path, "another")

    refused = run("search", "trees", "birch")
    reindexed = run("files", "reindex", *named)
    again = run("files", "reindex", *named)

    assert "was made with the embedder 'another'" in one_sentence(refused)
    assert reindexed.stdout == "default: 3 files are indexed with all-MiniLM-L6-v2\n"
    assert again.stdout == "default: nothing to do, all is indexed with all-MiniLM-L6-v2\n"
    assert run("search", "trees", "white bark", "--limit", "1").stdout.split()[1] == "white/birches.md"


def test_of_two_stores_only_the_one_that_is_named_is_indexed_anew(
    run: Run,
    folder: Path,
    tmp_path: Path,
) -> None:
    for store in ("one", "two"):
        run("files", "add", str(folder / "oaks.md"), "--store", store)
    remade(tmp_path, "another")

    done = run("files", "reindex", "two")

    assert done.stdout == "default: 1 files are indexed with all-MiniLM-L6-v2\n"
    assert run("search", "two", "oak").returncode == 0
    assert "was made with the embedder 'another'" in one_sentence(run("search", "one", "oak"))


def test_a_server_with_the_older_embedder_may_run_meanwhile(
    run: Run, folder: Path, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):  # so that a server has time to claim some
        (folder / f"{number}.md").write_text(f"Tree number {number} is an elm.")
    with ServedEmbedder() as embedder:
        older = {"BASE_URL": f"{embedder.url}/v1", "MODEL": "words"}
        older = {f"ANTIPHON_EMBEDDINGS_{name}": value for name, value in older.items()}
        for name, value in older.items():
            monkeypatch.setenv(name, value)  # the server inherits it, commands do not
        with Killed(tmp_path, upstream) as server, checked_client(server.url) as api:
            run("files", "add", str(folder), "--store", "trees", **older)

            done = run("files", "reindex")

            assert done.stdout == "default: 63 files are indexed with all-MiniLM-L6-v2\n"
            [store] = api.vector_stores.list().data
            assert (store.file_counts.completed, store.file_counts.failed) == (63, 0)
            with pytest.raises(BadRequestError, match="this server embeds with 'words'"):
                api.vector_stores.search(store.id, query="white bark")
    assert run("search", "trees", "white bark", "--limit", "1").stdout.split()[1] == "white/birches.md"


# ---- beside a server --------------------------------------------------------------------------------


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    with Killed(tmp_path, upstream) as killed:
        yield killed


@pytest.fixture
def api(server: Killed) -> Iterator[OpenAI]:
    with checked_client(server.url) as client:
        yield client


def test_commands_and_a_server_that_runs_see_the_same(
    run: Run,
    folder: Path,
    api: OpenAI,
) -> None:
    made = api.vector_stores.create(name="trees")

    added = run("files", "add", str(folder), "--store", "trees")

    (store,) = api.vector_stores.list().data
    assert added.stdout == f"trees ({made.id}): 3 added, 0 replaced, 0 unchanged, 0 failed\n"
    assert (store.id, store.file_counts.completed, store.status) == (made.id, 3, "completed")
    assert api.vector_stores.search(store.id, query="white bark").data[0].filename == "white/birches.md"
    file = api.files.create(file=("new.md", b"# Larches\n\nA larch drops its needles."), purpose="assistants")
    api.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    found = run("search", store.id, "Which tree drops its needles?", "--json", "--limit", "1")
    assert json.loads(found.stdout)["filename"] == "new.md"


def test_of_two_stores_with_one_name_an_id_is_asked_for(
    run: Run,
    api: OpenAI,
) -> None:
    ids = {api.vector_stores.create(name="trees").id for _ in range(2)}

    said = one_sentence(run("search", "trees", "oak"))

    assert "There are 2 stores of the name 'trees'" in said
    assert all(store_id in said for store_id in ids)
    assert run("search", ids.pop(), "oak").stdout == "Nothing was found.\n"


def test_a_command_that_is_killed_is_given_again(run: Run, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        (many / f"{number}.md").write_text(f"Sheet {number} is about bridge {number}.\n" * 20)
    with subprocess.Popen(
        [sys.executable, "-m", "antiphon", "files", "add", str(many), "--store", "many"],
        env={**os.environ, "ANTIPHON_DATA_DIR": str(tmp_path / "data")},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    ) as killed:
        while killed.poll() is None and _entries(tmp_path) < 10:
            pass
        killed.kill()

    again = run("files", "add", str(many), "--store", "many")

    added, unchanged = (int(part.split()[0]) for part in again.stdout.partition(": ")[2].split(", ")[::2])
    assert killed.returncode == -9
    assert (added + unchanged, unchanged >= 10) == (40, True)
    assert len(listed(run, "--store", "many")) == 40
    assert {file["status"] for file in listed(run, "--store", "many")} == {"completed"}


def _entries(tmp_path: Path) -> int:
    path = tmp_path / "data" / "antiphon.db"
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path)) as database:
        try:
            ((count,),) = database.execute("SELECT count(*) FROM vector_store_files")
        except sqlite3.OperationalError:  # its schema is being made
            return 0
    return int(count)
