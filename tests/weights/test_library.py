"""Models by their names, and files that are taken into the data directory."""

from pathlib import Path

import pytest
from tests.small_disk import mounted
from tests.weights.heads import SMALL, gguf_file

from antiphon.weights import library
from antiphon.weights.errors import WeightsError
from antiphon.weights.reference import Default, Named, OnDisk, OnHub, Reference, parse

HEAD = gguf_file(SMALL)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "Mine-1B-Q8_0.gguf"
    path.write_bytes(HEAD)
    return path


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("", Default()),
        ("smollm2-135m-instruct", Default()),
        ("hf:a/b", OnHub("a/b")),
        ("hf:a.b/c-D_1:Q4_K_M", OnHub("a.b/c-D_1", wanted="Q4_K_M")),
        ("hf:a/b@refs/pr/1:x/y-00001-of-00002.gguf", OnHub("a/b", "refs/pr/1", "x/y-00001-of-00002.gguf")),
        ("~/x/y.gguf", OnDisk("~/x/y.gguf")),
        ("Qwen3-4B", Named("Qwen3-4B")),
    ],
)
def test_a_text_names_a_model(text: str, reference: Reference) -> None:
    assert parse(text) == reference


@pytest.mark.parametrize(
    "text", ["hf:", "hf:a", "hf:a/b/c", "hf:a/../b", "hf:a/b:", "hf:a/b:../../x", "a/b", "-x", "ä/ö"]
)
def test_a_text_that_names_none_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(WeightsError, match=r"names no model\. A model is hf:OWNER/REPO, "):
        parse(text)


def test_a_file_is_taken_in_and_stays_when_the_first_one_goes(mine: Path, data: Path) -> None:
    path = library.pull(OnDisk(str(mine)), data)
    mine.unlink()

    assert path == data / "models" / mine.name
    assert path.read_bytes() == HEAD
    assert [str(kept.reference) for kept in library.kept(data)] == [mine.name]
    for name in (mine.name, "Mine-1B-Q8_0", "mine-1b"):
        assert library.find(parse(name), data) == path


def test_taking_a_file_in_again_changes_nothing(mine: Path, data: Path) -> None:
    first = library.pull(OnDisk(str(mine)), data)

    assert library.pull(OnDisk(str(mine)), data) == first
    assert library.pull(OnDisk(mine.name), data) == first


def test_from_another_disk_a_file_is_copied(mine: Path, data: Path) -> None:
    with mounted(data, megabytes=1):
        path = library.pull(OnDisk(str(mine)), data)

        assert path.read_bytes() == HEAD
        assert path.stat().st_dev != mine.stat().st_dev
        assert library.pull(OnDisk(str(mine)), data) == path


def test_a_file_that_does_not_fit_leaves_nothing(mine: Path, data: Path) -> None:
    mine.write_bytes(HEAD + bytes(3_000_000))

    with mounted(data, megabytes=1):
        with pytest.raises(WeightsError, match="There is no room for the model"):
            library.pull(OnDisk(str(mine)), data)
        assert list((data / "models").glob("*.gguf")) == []


def test_another_file_of_the_same_name_is_not_replaced(mine: Path, data: Path) -> None:
    library.pull(OnDisk(str(mine)), data)
    mine.unlink()
    mine.write_bytes(HEAD + b"more")

    with pytest.raises(WeightsError, match=r"There is another Mine-1B-Q8_0\.gguf already"):
        library.pull(OnDisk(str(mine)), data)


def test_a_split_model_is_taken_in_whole(tmp_path: Path, data: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"big-0000{number}-of-00002.gguf").write_bytes(HEAD)

    path = library.pull(OnDisk(str(tmp_path / "big-00002-of-00002.gguf")), data)

    assert path.name == "big-00001-of-00002.gguf"
    assert [(kept.path, kept.size) for kept in library.kept(data)] == [(path, 2 * len(HEAD))]


def test_what_is_no_model_is_not_taken_in(tmp_path: Path, data: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"my diary")

    with pytest.raises(WeightsError, match="is no GGUF file"):
        library.pull(OnDisk(str(tmp_path / "a.gguf")), data)
    with pytest.raises(WeightsError, match="There is no file"):
        library.pull(OnDisk(str(tmp_path / "b.gguf")), data)


def test_a_name_that_nothing_has_lists_what_is_there(mine: Path, data: Path) -> None:
    library.pull(OnDisk(str(mine)), data)

    with pytest.raises(WeightsError, match=r"no model 'llama3' here\. There are: Mine-1B-Q8_0\."):
        library.find(Named("llama3"), data)
