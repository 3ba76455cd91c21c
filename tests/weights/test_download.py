"""Models of a hub: the real code against a server that speaks the hub's endpoints."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.small_disk import mounted
from tests.weights.hub import COMMIT, Hub, hub_of

from antiphon.weights import download, library
from antiphon.weights.errors import WeightsError
from antiphon.weights.reference import OnHub, parse

SMALL = bytes(range(256)) * 4_000
LARGE = bytes(reversed(SMALL)) * 2
SPLIT = {f"big/big-BF16-0000{n}-of-00003.gguf": bytes([n]) * 100_000 for n in (1, 2, 3)}
FILES = {
    "tiny-Q4_K_M.gguf": SMALL,
    "tiny-Q8_0.gguf": LARGE,
    "mmproj-tiny-F16.gguf": b"no model by itself",
    **SPLIT,
}
Pull = Callable[..., Path]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_of(FILES) as hub:
        yield hub


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def pull(hub: Hub, data: Path, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """Pulls from that hub, without pauses between attempts."""
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))

    def pulled(text: str = "hf:owner/tiny-GGUF", **variables: str) -> Path:
        return library.pull(parse(text), data, environ={"HF_ENDPOINT": hub.url, **variables})

    return pulled


def files(data: Path) -> list[str]:
    """What is there, locks and stamps aside."""
    there = (path for path in data.rglob("*") if path.is_file())
    return sorted(path.name for path in there if path.suffix not in (".lock", ".verified"))


# ---- which file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:owner/tiny-GGUF", "tiny-Q4_K_M.gguf"),
        ("hf:owner/tiny-GGUF:Q4_K_M", "tiny-Q4_K_M.gguf"),
        ("hf:owner/tiny-GGUF:q8_0", "tiny-Q8_0.gguf"),
        ("hf:owner/tiny-GGUF:tiny-Q8_0.gguf", "tiny-Q8_0.gguf"),
        (f"hf:owner/tiny-GGUF@{COMMIT}:Q8_0", "tiny-Q8_0.gguf"),
    ],
)
def test_a_file_or_a_quantization_names_a_model(pull: Pull, text: str, name: str) -> None:
    path = pull(text)

    assert path.name == name
    assert path.read_bytes() == FILES[name]


@pytest.mark.parametrize(
    "wanted", ["BF16", "big-BF16-00002-of-00003.gguf", "big/big-BF16-00001-of-00003.gguf"]
)
def test_all_files_of_a_model_that_is_split_are_fetched(pull: Pull, data: Path, wanted: str) -> None:
    path = pull(f"hf:owner/tiny-GGUF:{wanted}")

    assert path.name == "big-BF16-00001-of-00003.gguf"
    assert files(data) == [name.removeprefix("big/") for name in SPLIT]
    assert {name: (path.parent.parent / name).read_bytes() for name in SPLIT} == SPLIT


def test_progress_is_that_of_all_files(hub: Hub, data: Path) -> None:
    seen: list[tuple[int, int]] = []
    environ = {"HF_ENDPOINT": hub.url}

    library.pull(parse("hf:owner/tiny-GGUF:BF16"), data, lambda *at: seen.append(at), environ)

    assert {total for _, total in seen} == {300_000}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (300_000, 300_000)


def test_a_name_that_fits_nothing_lists_what_there_is(pull: Pull) -> None:
    with pytest.raises(WeightsError) as said:
        pull("hf:owner/tiny-GGUF:Q2_K")

    assert str(said.value) == (
        "Of hf:owner/tiny-GGUF:Q2_K there is no 'Q2_K'. Choose one: hf:owner/tiny-GGUF:BF16 (300 kB), "
        "hf:owner/tiny-GGUF:Q4_K_M (1.0 MB), hf:owner/tiny-GGUF:Q8_0 (2.0 MB)."
    )


def test_without_a_usual_one_the_choice_is_left_to_who_asks(pull: Pull, hub: Hub) -> None:
    hub.script.files = {"a-Q5_0.gguf": SMALL, "b-Q5_0.gguf": SMALL, "a-Q6_K.gguf": SMALL}

    with pytest.raises(WeightsError, match=r"several models fit\. Choose one: hf:owner/tiny-GGUF:a-Q5_0"):
        pull()


def test_a_repository_without_such_files_says_so(pull: Pull, hub: Hub) -> None:
    hub.script.files = {"model.safetensors": SMALL}

    with pytest.raises(WeightsError, match="owner/tiny-GGUF has no GGUF file"):
        pull()


def test_a_split_model_that_is_not_whole_is_not_fetched(pull: Pull, hub: Hub) -> None:
    hub.script.files = {name: content for name, content in SPLIT.items() if "00002" not in name}

    with pytest.raises(WeightsError, match="has only 2 of the 3 files"):
        pull()


def test_a_file_whose_name_leads_out_of_the_folder_is_not_seen(pull: Pull, hub: Hub, data: Path) -> None:
    hub.script.files = {"../../../evil-Q4_K_M.gguf": SMALL, "/evil.gguf": SMALL, "good.gguf": LARGE}

    assert pull().name == "good.gguf"
    assert files(data) == ["good.gguf"]


# ---- what goes wrong on the way -------------------------------------------------------------------------


def test_a_download_that_is_cut_goes_on_where_it_ended(pull: Pull, hub: Hub) -> None:
    hub.script.cuts = [300_000, 200_000]

    assert pull().read_bytes() == SMALL
    begins = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for asked in hub.script.ranges]
    assert begins == sorted(set(begins))
    assert len(begins) == 3
    assert 0 < begins[1] <= 300_000


def test_a_later_command_goes_on_where_an_earlier_one_ended(pull: Pull, hub: Hub, data: Path) -> None:
    hub.script.cuts = [300_000, 0, 0, 0]

    with pytest.raises(WeightsError, match=r"cut off after \d+ kB of 1\.0 MB .*goes on from there"):
        pull()
    (part,) = files(data)
    begin = next(data.rglob(part)).stat().st_size
    hub.script.ranges.clear()

    assert pull().read_bytes() == SMALL
    assert hub.script.ranges == [f"bytes={begin}-"]
    assert files(data) == ["tiny-Q4_K_M.gguf"]


def test_a_server_that_knows_no_ranges_sends_it_anew(pull: Pull, hub: Hub) -> None:
    hub.script.cuts, hub.script.ignores_ranges = [300_000], True

    assert pull().read_bytes() == SMALL


def test_what_came_of_another_version_is_no_beginning_of_this_one(pull: Pull, hub: Hub, data: Path) -> None:
    hub.script.cuts = [300_000, 0, 0, 0]
    with pytest.raises(WeightsError):
        pull()
    hub.script.files = {"tiny-Q4_K_M.gguf": LARGE}

    assert pull().read_bytes() == LARGE
    assert files(data) == ["tiny-Q4_K_M.gguf"]


def test_what_is_longer_than_it_should_be_is_not_kept(pull: Pull, hub: Hub, data: Path) -> None:
    hub.script.cuts = [300_000, 0, 0, 0]
    with pytest.raises(WeightsError):
        pull()
    (part,) = data.rglob("*.part")
    part.write_bytes(LARGE)

    assert pull().read_bytes() == SMALL


def test_a_damaged_download_is_fetched_a_second_time(pull: Pull, hub: Hub) -> None:
    hub.script.damaged = 1

    assert pull().read_bytes() == SMALL


def test_content_with_another_sha256_is_refused_and_not_kept(pull: Pull, hub: Hub, data: Path) -> None:
    hub.script.damaged = 2

    with pytest.raises(WeightsError, match=r"downloaded twice.*its sha256 is another one"):
        pull()
    assert files(data) == []


def test_a_busy_server_is_asked_again(pull: Pull, hub: Hub) -> None:
    hub.script.busy = 2

    assert pull().read_bytes() == SMALL
    assert len(hub.script.ranges) == 3


def test_a_server_that_stays_busy_is_given_up(pull: Pull, hub: Hub) -> None:
    hub.script.busy = 100

    with pytest.raises(WeightsError, match=r"cut off after 0 bytes of 1\.0 MB .*answers 503"):
        pull()


def test_two_at_once_download_it_once(pull: Pull, hub: Hub, data: Path) -> None:
    got: list[bytes] = []
    pullers = [threading.Thread(target=lambda: got.append(pull().read_bytes())) for _ in range(2)]

    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join(60)

    assert got == [SMALL, SMALL]
    assert len(hub.script.ranges) == 1
    assert files(data) == ["tiny-Q4_K_M.gguf"]


def test_a_disk_that_is_too_small_is_said_before_anything_comes(hub: Hub, pull: Pull, data: Path) -> None:
    with (
        mounted(data, megabytes=1),
        pytest.raises(WeightsError, match=r"no room for the model: 2\.0 MB are needed in .* are free"),
    ):
        pull("hf:owner/tiny-GGUF:Q8_0")

    assert hub.script.ranges == []


# ---- what is there ----------------------------------------------------------------------------------------


def test_what_is_there_is_not_asked_for_again(pull: Pull, hub: Hub) -> None:
    first = pull()
    hub.script.asked.clear()

    assert pull() == first
    assert library.find(OnHub("owner/tiny-GGUF", wanted="Q4_K_M"), first.parents[4]) == first
    assert hub.script.asked == []


def test_a_file_that_changed_since_is_fetched_anew(pull: Pull) -> None:
    pull().write_bytes(SMALL[:1000])

    assert pull().read_bytes() == SMALL


def test_another_quantization_is_another_model(pull: Pull, data: Path) -> None:
    assert pull("hf:owner/tiny-GGUF:Q8_0") != pull("hf:owner/tiny-GGUF:Q4_K_M")

    listed = [str(kept.reference) for kept in library.kept(data)]
    assert listed == ["hf:owner/tiny-GGUF:tiny-Q4_K_M.gguf", "hf:owner/tiny-GGUF:tiny-Q8_0.gguf"]


def test_a_split_model_with_a_part_missing_is_not_there(pull: Pull, data: Path) -> None:
    path = pull("hf:owner/tiny-GGUF:BF16")
    path.with_name("big-BF16-00003-of-00003.gguf").unlink()

    assert library.find(parse("hf:owner/tiny-GGUF:BF16"), data) is None
    assert list(library.kept(data)) == []
    assert pull("hf:owner/tiny-GGUF:BF16") == path


# ---- who may have it --------------------------------------------------------------------------------------


def test_the_token_goes_to_the_hub_and_to_no_other_host(pull: Pull, hub: Hub) -> None:
    pull(HF_TOKEN="hf_secret")

    assert hub.script.tokens == {"hub": {"Bearer hf_secret"}, "store": {""}}


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, {"X-Error-Code": "RepoNotFound"}), "There is no model owner/tiny-GGUF at .* needs HF_TOKEN"),
        ((403, {"X-Error-Code": "GatedRepo"}), "owner/tiny-GGUF asks for consent: give it at http"),
        ((429, {}), "takes no more requests for now"),
        ((500, {}), "answers 500. Try again later"),
    ],
)
def test_a_refusal_is_said_in_words(
    pull: Pull, hub: Hub, refusal: tuple[int, dict[str, str]], said: str
) -> None:
    hub.script.refusals = [refusal]

    with pytest.raises(WeightsError, match=said) as raised:
        pull(HF_TOKEN="hf_secret")
    assert "hf_secret" not in str(raised.value)


def test_a_repository_or_revision_that_there_is_not_is_said(pull: Pull) -> None:
    with pytest.raises(WeightsError, match="There is no model owner/other at"):
        pull("hf:owner/other")
    with pytest.raises(WeightsError, match="owner/tiny-GGUF has no revision 'v9'"):
        pull("hf:owner/tiny-GGUF@v9")


def test_a_hub_that_is_away_or_none_is_said(pull: Pull) -> None:
    with pytest.raises(WeightsError, match=r"http://127.0.0.1:9 cannot be reached .* FILE.gguf"):
        pull(HF_ENDPOINT="http://user:word@127.0.0.1:9/")
    with pytest.raises(WeightsError, match="HF_ENDPOINT must begin with"):
        pull(HF_ENDPOINT="huggingface.co")
