"""`antiphon backup`, `restore` and `check`: what is kept, in one file, back again, and whole."""

import asyncio
import base64
import contextlib
import io
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from openai import APIError, OpenAI
from openai.types.responses import Response
from tests.cli.keeping import PICTURE, Kept, http_of
from tests.commands import Run, one_sentence, run
from tests.conftest import Running, checked_client, config_for
from tests.kept_at import new_store
from tests.s3 import shared_s3
from tests.scripted import Answer, Gate, Upstream, refusal

from antiphon.config import Blobs, Config, Store
from antiphon.store import backups, wholeness
from antiphon.store.backups import BackupError, Installed
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.open import open_store
from antiphon.store.sqlite.schema import prepare
from antiphon.store.wholeness import Count

__all__ = ["run"]

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    upstream.default = Answer("one two three")
    return replace(config_for(upstream, tmp_path / "data"), store=Store())


def backed_up(run: Run, config: Config, file: Path) -> Done:
    return run("backup", str(file), "--data-dir", config.data_dir)


def restored(run: Run, file: Path, data_dir: Path) -> Done:
    return run("restore", str(file), "--data-dir", str(data_dir))


class Traffic:
    """Clients that go on until they are told to end: responses of all kinds, files that come and go."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._going = threading.Barrier(3)
        self.faults: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(kind,)) for kind in (self._talk, self._file)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The block begins when each of them has done something."""
        for thread in self._threads:
            thread.start()
        try:
            self._going.wait(60)
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(60)
        assert self.faults == []

    def _run(self, kind: Callable[[OpenAI], None]) -> None:
        try:
            with checked_client(self._url) as client:
                kind(client)
                self._going.wait(60)
                while not self._ended.is_set():
                    kind(client)
        except BaseException as fault:
            self.faults.append(fault)
            raise

    def _talk(self, client: OpenAI) -> None:
        shown = [{"type": "input_image", "image_url": PICTURE}]
        first = client.responses.create(model="m", input=[{"role": "user", "content": shown}])
        client.responses.create(model="m", input="More", previous_response_id=first.id)
        for _ in client.responses.create(model="m", input="Hi", background=True, stream=True):
            pass
        client.responses.delete(first.id)

    def _file(self, client: OpenAI) -> None:
        file = client.files.create(file=("n.txt", b"A lighthouse."), purpose="user_data")
        client.files.delete(file.id)


def test_a_backup_under_traffic_gives_in_a_fresh_folder_all_that_there_was(
    run: Run, config: Config, tmp_path: Path
) -> None:
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    with Running(config) as running, checked_client(running.url) as client, http_of(running) as http:
        kept = Kept(client, http)
        kept.make()
        kept.paths.remove("/v1/files")  # more of them come and go
        before = kept.read()
        with Traffic(running.url).running():
            done = backed_up(run, config, file)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".antiphon")] == []

    done = restored(run, file, fresh)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[1:]] == [
        f"ok      {what}" for what in ("tables", "blobs", "contents", "responses", "secrets")
    ]
    new = replace(config, data_dir=str(fresh))
    with Running(new) as running, checked_client(running.url) as client, http_of(running) as http:
        kept.client, kept.http = client, http
        assert kept.read() == before
        kept.add()
    assert wrong_in(run, new) == []


# ---- what comes and goes meanwhile ----------------------------------------------------------------------


class Disturbed(FolderBlobs):
    """A folder in which somebody deletes a file, as the API does, when a backup asks for its bytes."""

    def __init__(self, folder: Path, database: Path, victim: str) -> None:
        super().__init__(folder)
        self._database, self._victim = database, victim

    @contextlib.asynccontextmanager
    async def as_file(self, name: str) -> AsyncIterator[Path]:
        if name == self._victim:
            store = await open_store(f"sqlite:///{self._database}")
            await store.files.delete("default", name)
            await store.close()
            await self.remove([name])
        async with super().as_file(name) as path:
            yield path


def test_a_file_that_is_deleted_while_it_is_backed_up_is_not_in_the_backup(
    config: Config, tmp_path: Path
) -> None:
    ids = filed(config, "one", "two", "three")
    database = tmp_path / "data" / "antiphon.db"
    blobs = Disturbed(tmp_path / "data" / "files", database, sorted(ids)[1])

    about = asyncio.run(
        backups.write(Installed(database, None, blobs), tmp_path / "kept.tar", lambda _: None)
    )

    assert (about.blobs, about.lost) == (2, 0)
    fresh = Installed(tmp_path / "new" / "antiphon.db", None, FolderBlobs(tmp_path / "new" / "files"))
    asyncio.run(backups.restore(tmp_path / "kept.tar", fresh, lambda _: None))
    new = replace(config, data_dir=str(tmp_path / "new"))
    with Running(new) as running, checked_client(running.url) as client:
        assert {file.id for file in client.files.list()} == set(ids) - {sorted(ids)[1]}


def filed(config: Config, *texts: str) -> list[str]:
    with Running(config) as running, checked_client(running.url) as client:
        return [client.files.create(file=("a.txt", text.encode()), purpose="user_data").id for text in texts]


def blob(config: Config, name: str) -> Path:
    (path,) = (Path(config.data_dir) / "files").glob(f"*/{name}")
    return path


def test_bytes_that_were_lost_before_are_told_and_keep_nothing_away(
    run: Run, config: Config, tmp_path: Path
) -> None:
    lost, there = filed(config, "lost", "there")
    blob(config, lost).unlink()

    done = backed_up(run, config, tmp_path / "kept.tar")

    assert "1 blobs have rows, but no bytes: they were gone before." in done.stdout
    done = restored(run, tmp_path / "kept.tar", tmp_path / "fresh")
    assert done.returncode == 1
    assert "FAILED  blobs: 1 of 2 that rows name are missing" in done.stdout
    new = replace(config, data_dir=str(tmp_path / "fresh"))
    with Running(new) as running, checked_client(running.url) as client:
        assert client.files.content(there).read() == b"there"


def test_a_backup_removes_what_killed_ones_left_beside_it_and_nothing_of_one_that_goes_on(
    run: Run, config: Config, tmp_path: Path
) -> None:
    filed(config, "one")
    files = tmp_path / "backups"
    files.mkdir()
    spawned = multiprocessing.get_context("spawn")
    dying = spawned.Process(target=_write_and_die, args=(config.data_dir, files / "killed.tar"))
    dying.start()
    dying.join()
    assert [path.name[:17] for path in files.iterdir()] == [".antiphon-backup-"]

    here = installed(Path(config.data_dir))
    asyncio.run(backups.write(here, files / "one.tar", lambda _: _two(run, config, files)))

    assert sorted(path.name for path in files.iterdir()) == ["one.tar", "two.tar"]


def test_a_backup_removes_no_folder_that_has_more_than_a_killed_one_leaves(
    run: Run, config: Config, tmp_path: Path
) -> None:
    filed(config, "one")
    mine = [tmp_path / ".antiphon-backup-mine", tmp_path / ".antiphon-backup-more", tmp_path / "elsewhere"]
    for folder, names in zip(
        mine, [["backup.tar"], *[["backup.tar", "antiphon.db", "notes"]] * 2], strict=True
    ):
        folder.mkdir()
        for name in names:
            (folder / name).write_text("mine")
    (tmp_path / ".antiphon-backup-link").symlink_to(tmp_path / "elsewhere")

    done = backed_up(run, config, tmp_path / "one.tar")

    assert done.returncode == 0, done.stderr
    assert [len(list(folder.iterdir())) for folder in mine] == [1, 3, 3]


def test_a_backup_is_its_own_until_it_has_its_name(
    run: Run, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(config, "one")
    keep = backups._keep

    def late(draft: Path, target: Path) -> None:
        _two(run, config, tmp_path)
        keep(draft, target)

    monkeypatch.setattr(backups, "_keep", late)
    asyncio.run(backups.write(installed(Path(config.data_dir)), tmp_path / "one.tar", lambda _: None))

    assert {path.name for path in tmp_path.glob("*.tar")} == {"one.tar", "two.tar"}


def _two(run: Run, config: Config, files: Path) -> None:
    done = backed_up(run, config, files / "two.tar")
    assert done.returncode == 0, done.stderr


def _write_and_die(data_dir: str, file: Path) -> None:
    asyncio.run(
        backups.write(installed(Path(data_dir)), file, lambda _: os.kill(os.getpid(), signal.SIGKILL))
    )


# ---- restoring ------------------------------------------------------------------------------------------


def test_a_restoring_that_was_killed_is_no_store_and_goes_on_when_it_is_given_again(
    run: Run, config: Config, tmp_path: Path
) -> None:
    ids = filed(config, "one", "two")
    assert backed_up(run, config, tmp_path / "kept.tar").returncode == 0
    fresh = tmp_path / "fresh"
    files = fresh / "files"
    (files / "arriving").mkdir(parents=True)
    (files / "arriving" / ids[0]).write_bytes(b"o")
    (fresh / "antiphon.db.restoring").write_bytes(b"SQLite")
    (fresh / "sealing.key.restoring").write_bytes(b"k")
    shutil.copy(Path(config.data_dir) / "sealing.key", fresh)
    assert one_sentence(run("check", "--data-dir", str(fresh))).startswith("antiphon: There is no store")

    done = restored(run, tmp_path / "kept.tar", fresh)

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in fresh.iterdir() if path.name.startswith("antiphon.db")) == [
        "antiphon.db",
        "antiphon.db-users",
    ]
    assert not list(fresh.glob("*.restoring"))
    new = replace(config, data_dir=str(fresh))
    with Running(new) as running, checked_client(running.url) as client:
        assert [client.files.content(each).read() for each in ids] == [b"one", b"two"]


def test_what_is_kept_already_is_never_overwritten(run: Run, config: Config, tmp_path: Path) -> None:
    filed(config, "one")
    file = tmp_path / "kept.tar"
    assert backed_up(run, config, file).returncode == 0
    before = file.read_bytes()

    assert f"{file} is there already" in one_sentence(backed_up(run, config, file))
    assert "There is a store already" in one_sentence(restored(run, file, tmp_path / "data"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sealing.key").write_bytes(bytes(32))
    assert "is another sealing key" in one_sentence(restored(run, file, tmp_path / "other"))
    assert file.read_bytes() == before
    nowhere = tmp_path / "no" / "kept.tar"
    assert (
        one_sentence(backed_up(run, config, nowhere)) == f"antiphon: There is no folder {nowhere.parent}.\n"
    )
    assert not (tmp_path / "other" / "antiphon.db").exists()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_is_left_of_another_database_is_not_mixed_into_the_restored_one(
    run: Run, config: Config, tmp_path: Path, end: str
) -> None:
    """A kill leaves it, and whoever moves the database alone."""
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    filed(config, "one")
    assert backed_up(run, config, file).returncode == 0
    fresh.mkdir()
    left = fresh / f"antiphon.db{end}"
    left.write_bytes(b"left")

    assert f"There is a part of another store: {left}." in one_sentence(restored(run, file, fresh))

    assert list(fresh.iterdir()) == [left]
    left.unlink()
    with pytest.raises(BackupError, match="There is a part of another store"):
        asyncio.run(backups.restore(file, installed(fresh), lambda _: _put(left)))
    assert left.read_bytes() == b"left"
    assert not (fresh / "antiphon.db").exists()


def test_a_server_that_starts_while_a_backup_is_restored_keeps_what_it_has(
    run: Run, config: Config, tmp_path: Path
) -> None:
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    filed(config, "one")
    assert backed_up(run, config, file).returncode == 0
    there = fresh / "antiphon.db"

    def start(_: int) -> None:
        with contextlib.closing(prepare(there)) as database:
            database.execute("CREATE TABLE mine (x)")

    with pytest.raises(BackupError, match="There is a store already"):
        asyncio.run(backups.restore(file, installed(fresh), start))

    with contextlib.closing(sqlite3.connect(there)) as database:
        assert database.execute("SELECT * FROM mine").fetchall() == []
    assert not (fresh / "sealing.key").exists()


@pytest.mark.parametrize("name", ["antiphon.db", "sealing.key"])
def test_a_name_that_is_taken_at_the_last_moment_stays_whose_it_is(
    run: Run, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """When all that could be looked at has been."""
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    filed(config, "one")
    assert backed_up(run, config, file).returncode == 0
    taken, link = fresh / name, os.link

    def late(draft: Path, target: Path) -> None:
        if target == taken:
            target.write_bytes(b"mine")
        link(draft, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(BackupError, match=r"is a store already|is another sealing key"):
        asyncio.run(backups.restore(file, installed(fresh), lambda _: None))

    assert taken.read_bytes() == b"mine"


def test_two_restorings_of_one_place_do_not_meet(run: Run, config: Config, tmp_path: Path) -> None:
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    filed(config, "one")
    assert backed_up(run, config, file).returncode == 0
    others: list[Done] = []

    asyncio.run(backups.restore(file, installed(fresh), lambda _: others.append(restored(run, file, fresh))))

    (other,) = others
    assert "antiphon.db is in use" in one_sentence(other)
    assert wrong_in(run, replace(config, data_dir=str(fresh))) == []


def installed(data_dir: Path) -> Installed:
    return Installed(data_dir / "antiphon.db", data_dir / "sealing.key", FolderBlobs(data_dir / "files"))


def _put(path: Path) -> None:
    path.write_bytes(b"left")


def test_a_backup_that_was_cut_off_is_none(config: Config, tmp_path: Path) -> None:
    filed(config, "one")
    file, cut, fresh = tmp_path / "kept.tar", tmp_path / "cut.tar", tmp_path / "fresh"
    there = Installed(tmp_path / "data" / "antiphon.db", None, FolderBlobs(tmp_path / "data" / "files"))
    asyncio.run(backups.write(there, file, lambda _: None))
    with tarfile.open(file) as tar:
        (*_, last) = tar.getmembers()
    new = Installed(fresh / "antiphon.db", None, FolderBlobs(fresh / "files"))
    for size in (
        0,
        1,
        512,
        5_000,
        150_000,
        last.offset,
        last.offset + 1,
        last.offset + 512,
        last.offset_data + 9,
    ):
        cut.write_bytes(file.read_bytes()[:size])

        with pytest.raises(BackupError, match="is not a whole backup"):
            asyncio.run(backups.restore(cut, new, lambda _: None))
        assert not fresh.exists()


def test_a_tar_that_names_other_places_writes_nothing_there(run: Run, config: Config, tmp_path: Path) -> None:
    filed(config, "one")
    file, hostile = tmp_path / "kept.tar", tmp_path / "hostile.tar"
    assert backed_up(run, config, file).returncode == 0
    with tarfile.open(file) as tar, tarfile.open(hostile, "w") as other:
        for name in ("../outside", "files/../../outside", f"{tmp_path}/outside", "files/aa/file-1"):
            other.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("files/file-2")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        other.addfile(link)
        for member in tar.getmembers():
            other.addfile(member, tar.extractfile(member))

    assert restored(run, hostile, tmp_path / "fresh").returncode == 0

    assert not (tmp_path / "outside").exists()
    assert len(list((tmp_path / "fresh" / "files").glob("[!a]*/*"))) == 1


@pytest.mark.parametrize("name", ["antiphon.db", "files/file-1"])
def test_a_small_tar_writes_no_large_file(config: Config, tmp_path: Path, name: str) -> None:
    """A sparse member says how much of it is holes, as much as it likes; `antiphon backup` writes none."""
    filed(config)
    file, hostile, fresh = tmp_path / "kept.tar", tmp_path / "hostile.tar", tmp_path / "fresh"
    asyncio.run(backups.write(installed(Path(config.data_dir)), file, lambda _: None))
    with tarfile.open(file) as tar, tarfile.open(hostile, "w") as other:
        for member in tar.getmembers():
            if member.name != name:
                other.addfile(member, tar.extractfile(member))
        sparse = tarfile.TarInfo(name)
        sparse.pax_headers = {"GNU.sparse.size": str(2**26), "GNU.sparse.map": "0,0"}
        other.addfile(sparse)
    done: list[int] = []

    with contextlib.suppress(BackupError):
        asyncio.run(backups.restore(hostile, installed(fresh), done.append))

    assert done == []
    assert all(path.stat().st_size < 2**26 for path in fresh.rglob("*"))


def test_a_backup_of_a_newer_version_is_refused_in_words(run: Run, config: Config, tmp_path: Path) -> None:
    filed(config, "one")
    file = tmp_path / "kept.tar"
    assert backed_up(run, config, file).returncode == 0
    with tarfile.open(file) as tar:
        members = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        newer = tmp_path / "newer.tar"
        with tarfile.open(newer, "w") as other:
            for member, content in members:
                assert content is not None
                text = content.read().replace(b'"format": 1', b'"format": 2')
                member.size = len(text)
                other.addfile(member, io.BytesIO(text))

    said = one_sentence(restored(run, newer, tmp_path / "fresh"))

    assert "has format 2, from a newer version of Antiphon" in said


# ---- other homes ----------------------------------------------------------------------------------------


def test_blobs_of_a_bucket_are_in_the_backup_and_go_into_another_one(
    run: Run, config: Config, tmp_path: Path
) -> None:
    one, other = shared_s3().bucket(), shared_s3().bucket()
    (file_id,) = filed(replace(config, blobs=Blobs(url=one)), "one")
    file, fresh = tmp_path / "kept.tar", tmp_path / "fresh"
    s3 = shared_s3().variables
    options = ["--data-dir", config.data_dir]
    assert run("backup", str(file), *options, ANTIPHON_BLOBS_URL=one, **s3).returncode == 0

    done = run("restore", str(file), "--data-dir", str(fresh), ANTIPHON_BLOBS_URL=other, **s3)

    assert done.returncode == 0, done.stderr
    new = replace(config, data_dir=str(fresh), blobs=Blobs(url=other))
    with Running(new) as running, checked_client(running.url) as client:
        assert client.files.content(file_id).read() == b"one"


def test_postgresql_is_backed_up_with_its_own_tools(run: Run, tmp_path: Path) -> None:
    url = str(new_store("postgres").url)
    for command in ("backup", "restore"):
        said = one_sentence(run(command, str(tmp_path / "kept.tar"), ANTIPHON_STORE_URL=url))
        assert "docs/backup.md" in said


def test_a_key_of_the_environment_is_not_in_the_backup(run: Run, config: Config, tmp_path: Path) -> None:
    filed(config, "one")
    file = tmp_path / "kept.tar"
    given = {"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL", "SEAL": base64.b64encode(bytes(32)).decode()}

    done = run("backup", str(file), "--data-dir", config.data_dir, **given)

    assert "The sealing key is not in it: keep what SEAL holds." in done.stdout
    with tarfile.open(file) as tar:
        assert "sealing.key" not in tar.getnames()


# ---- what is not whole ----------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def full(request: pytest.FixtureRequest, config: Config, tmp_path: Path) -> Config:
    """A server's configuration, after something of everything was made there, and a run waits."""
    key = base64.b64encode(bytes(range(32))).decode()
    store = replace(new_store("postgres"), sealing_key_env="SEAL") if request.param == "postgres" else Store()
    request.getfixturevalue("monkeypatch").setenv("SEAL", key)
    full = replace(config, store=store)
    with Running(full) as running, checked_client(running.url) as client, http_of(running) as http:
        Kept(client, http).make()
    return full


def wrong_in(run: Run, config: Config, *options: str) -> list[str]:
    """What `antiphon check` finds wrong."""
    store = config.store
    given = {
        "ANTIPHON_STORE_URL": store.url or "",
        "ANTIPHON_STORE_SEALING_KEY_ENV": store.sealing_key_env or "",
    }
    given = {name: value for name, value in given.items() if value}
    done = run("check", *options, "--data-dir", config.data_dir, **given)
    wrong = [line for line in done.stdout.splitlines() if not line.startswith("ok")]
    assert done.returncode == bool(wrong), done.stderr
    return wrong


def change(config: Config, sql: str) -> None:
    if config.store.url:
        with psycopg.connect(config.store.url) as connection:
            connection.execute(sql.encode())
        return
    with contextlib.closing(sqlite3.connect(Path(config.data_dir) / "antiphon.db")) as database, database:
        database.execute(sql)


def test_what_is_not_whole_is_found_on_both_homes(run: Run, full: Config) -> None:
    assert wrong_in(run, full, "--contents") == []

    (victim, *_) = (path for path in (Path(full.data_dir) / "files").glob("*/file-*"))
    victim.unlink()
    lacking, example = wrong_in(run, full)
    assert lacking.startswith("FAILED  blobs: 1 of ")
    assert example == f"        {victim.name}"

    change(full, "DELETE FROM events WHERE last = (SELECT min(last) FROM events)")
    assert any(line.startswith("FAILED  responses: ") for line in wrong_in(run, full))

    change(full, "UPDATE webhook_endpoints SET secret = 'AAAA'")
    assert "FAILED  secrets: 1 of 1 were sealed with another key than the one here" in wrong_in(run, full)


def test_bytes_that_have_changed_are_found_by_whoever_compares_them(run: Run, full: Config) -> None:
    victims = [path for path in (Path(full.data_dir) / "files").glob("*/*") if path.name.startswith("file-")]
    for victim in victims:
        data = victim.read_bytes()
        victim.unlink()  # a copy may be a link to it
        victim.write_bytes(data[:-1] + b"?")

    assert wrong_in(run, full) == []
    said, *examples = wrong_in(run, full, "--contents")
    assert said.startswith(f"FAILED  contents: {len(victims)} of ")
    assert {example.strip() for example in examples} <= {victim.name for victim in victims}


def test_a_file_that_cannot_be_read_is_named_and_all_else_is_looked_at(run: Run, config: Config) -> None:
    (victim,) = filed(config, "a text")
    path = blob(config, victim)
    path.unlink()
    path.mkdir()

    said, example = wrong_in(run, config, "--contents")

    assert said == "FAILED  contents: 1 of 1 have other bytes than came in, or cannot be read"
    assert example == f"        {victim}: Is a directory"


def test_a_backup_whose_bytes_have_changed_is_not_taken_for_whole(
    run: Run, config: Config, tmp_path: Path
) -> None:
    filed(config, "a text that is to change")
    kept = tmp_path / "kept.tar"
    assert backed_up(run, config, kept).returncode == 0
    kept.write_bytes(kept.read_bytes().replace(b"is to change", b"has changed!"))

    done = restored(run, kept, tmp_path / "fresh")

    assert done.returncode == 1
    assert "FAILED  contents: 1 of 1 have other bytes than came in, or cannot be read" in done.stdout


def test_rows_that_refer_to_nothing_are_found(run: Run, config: Config) -> None:
    filed(config)
    change(config, "INSERT INTO events (run, last, json) VALUES (99, 0, x'7b7d')")

    assert wrong_in(run, config) == [
        "FAILED  tables: faults in 1 places",
        "        events refers to rows of runs that are not there",
    ]


def test_a_constraint_that_does_not_hold_is_found(
    run: Run, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAL", base64.b64encode(bytes(32)).decode())
    shared = replace(config, store=replace(new_store("postgres"), sealing_key_env="SEAL"))
    filed(shared)
    change(shared, "ALTER TABLE events ADD CONSTRAINT few CHECK (last < 0) NOT VALID")

    assert wrong_in(run, shared) == [
        "FAILED  tables: faults in 1 places",
        "        the constraint few is not valid",
    ]


@pytest.mark.parametrize("command", ["backup", "check"])
def test_where_nothing_is_kept_nothing_is_made(run: Run, tmp_path: Path, command: str) -> None:
    said = one_sentence(run(command, *(["kept.tar"] if command == "backup" else [])))

    assert said.startswith("antiphon: There is no store sqlite:///")
    assert not (tmp_path / "data" / "antiphon.db").exists()
    assert not (tmp_path / "kept.tar").exists()


def test_responses_of_every_end_and_items_that_were_deleted_are_whole(
    run: Run, config: Config, upstream: Upstream
) -> None:
    """What clients did to them is no fault of the store."""
    with Running(config) as running, checked_client(running.url) as client:
        talk = client.conversations.create()

        def made(**more: Any) -> Response:
            """Its log is kept, since it is streamed."""
            events = list(
                client.responses.create(model="m", input="Hi", background=True, stream=True, **more)
            )
            found: Response = events[-1].response
            return found

        said = made(conversation=talk.id)
        client.conversations.items.delete(said.output[0].id or "", conversation_id=talk.id)
        upstream.script(*[refusal(400, "no")] * 4)
        with pytest.raises(APIError, match="no"):
            made()
        upstream.reset()
        upstream.default = Answer("one two three", size=1, gate=(gate := Gate(after=2)))
        with client.responses.create(model="m", input="Hi", background=True, stream=True) as waiting:
            begun = next(iter(waiting)).response
            gate.wait_reached()
            client.responses.cancel(begun.id)
        gate.open()
        upstream.default = Answer("one")
        cut = made(max_output_tokens=16)
        first = made(store=True)
        made(previous_response_id=first.id)
        client.responses.delete(first.id)
    assert (said.status, cut.status) == ("completed", "completed")

    assert wrong_in(run, config) == []


@pytest.mark.parametrize("home", ["sqlite", "postgres"])
@pytest.mark.parametrize("meanwhile", ["ends", "is deleted"])
def test_a_response_that_changes_between_two_looks_at_it_is_whole(
    config: Config, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, home: str, meanwhile: str
) -> None:
    shared = replace(config, store=new_store(home))
    upstream.default = Answer("one two three", size=1, gate=(gate := Gate(after=2)))
    with Running(shared) as running, checked_client(running.url) as client:
        events = iter(client.responses.create(model="m", input="Hi", background=True, stream=True))
        begun: Any = next(events)
        gate.wait_reached()

        def change() -> None:
            gate.open()
            assert [event.type for event in events][-1] == "response.completed"
            if meanwhile == "is deleted":
                client.responses.delete(begun.response.id)

        count = asyncio.run(looked_at(shared, change, monkeypatch))
    assert (count.looked_at, count.wrong, count.examples) == (1, 0, [])


async def looked_at(config: Config, change: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Count:
    """What is found when that happens after the first thing that is read of a response, whichever it is."""
    store = await open_store(config.store.url or f"sqlite:///{config.data_dir}/antiphon.db")
    changes = iter([change])

    def changed_after(read: Callable[..., Any]) -> Callable[..., Any]:
        async def reading(*arguments: Any) -> Any:
            found = await read(*arguments)
            for change in changes:
                await asyncio.to_thread(change)
            return found

        return reading

    monkeypatch.setattr(store.responses, "get", changed_after(store.responses.get))
    monkeypatch.setattr(store.runs, "events_after", changed_after(store.runs.events_after))
    try:
        return await wholeness.responses(store)
    finally:
        await store.close()
