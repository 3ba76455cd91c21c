"""Which embedded models a configuration wants, and what their backends are told."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.weights.heads import SMALL, gguf_file

from antiphon import engines
from antiphon.backends.embedded import CONTEXT_WINDOW, SMOLLM2, described
from antiphon.config import BackendSettings, Config
from antiphon.weights.errors import WeightsError
from antiphon.weights.gguf import read

LLAMA = BackendSettings(type="llama")
SERVER = BackendSettings(base_url="http://127.0.0.1:9/v1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-1B-Q4_K_M.gguf"
    path.write_bytes(gguf_file(SMALL))
    return path


def config_of(tmp_path: Path, **backends: BackendSettings) -> Config:
    return Config(data_dir=str(tmp_path / "data"), backends=backends)


def test_each_model_has_its_name_and_says_what_it_takes(tmp_path: Path, file: Path) -> None:
    config = config_of(tmp_path, a=replace(LLAMA, model=str(file)), b=SERVER)

    wanted = engines.wanted(config)

    assert {name: (model.name, model.window) for name, model in wanted.items()} == {"a": ("Tiny-1B", 4096)}
    assert "of weights and" in wanted["a"].memory
    assert "each within 4,096 tokens" in wanted["a"].memory


def test_two_files_of_one_model_have_different_names(tmp_path: Path, file: Path) -> None:
    better = file.with_name("Tiny-1B-Q8_0.gguf")
    better.write_bytes(file.read_bytes())
    config = config_of(tmp_path, a=replace(LLAMA, model=str(file)), b=replace(LLAMA, model=str(better)))

    assert [model.name for model in engines.wanted(config).values()] == ["Tiny-1B", "Tiny-1B-Q8_0"]


def test_a_window_can_be_smaller_than_the_model_was_trained_for_and_not_larger(
    tmp_path: Path, file: Path
) -> None:
    smaller = replace(LLAMA, model=str(file), context_window=1024)
    larger = replace(LLAMA, model=str(file), context_window=5000)

    assert engines.wanted(config_of(tmp_path, a=smaller))["a"].window == 1024
    with pytest.raises(WeightsError, match=r"was trained for 4,096 tokens: .* cannot be 5,000"):
        engines.wanted(config_of(tmp_path, a=larger))


def test_backends_of_one_model_share_its_process(tmp_path: Path, file: Path) -> None:
    one = replace(LLAMA, model=str(file))
    config = config_of(tmp_path, a=one, b=replace(one, models=["x-*"]), c=replace(one, context_window=512))

    with engines.running(config, engines.wanted(config)) as settings:
        sockets = [settings.backends[name].unix_socket for name in "abc"]

    assert sockets[0] == sockets[1] != sockets[2]


def test_a_backend_knows_its_file_and_every_model_is_asked_for_by_name(tmp_path: Path, file: Path) -> None:
    other = file.with_name("Other-Q8_0.gguf")
    other.write_bytes(file.read_bytes())
    config = config_of(
        tmp_path, a=replace(LLAMA, model=str(file)), b=replace(LLAMA, model=str(other)), c=SERVER
    )

    with engines.running(config, engines.wanted(config)) as settings:
        backends = settings.backends

    assert [(b.model, b.models, b.default) for b in backends.values()] == [
        (str(file), ["Tiny-1B"], True),
        (str(other), ["Other"], False),
        (None, [], False),
    ]
    assert backends["a"].context_window == 4096


def test_a_default_that_is_configured_stays_the_only_one(tmp_path: Path, file: Path) -> None:
    config = config_of(tmp_path, a=replace(LLAMA, model=str(file)), c=replace(SERVER, default=True))

    with engines.running(config, engines.wanted(config)) as settings:
        assert [backend.default for backend in settings.backends.values()] == [False, True]


# ---- what a model can, by its file -------------------------------------------------------------------------


def test_a_template_says_whether_functions_and_reasoning_reach_the_model(tmp_path: Path, file: Path) -> None:
    plain = tmp_path / "plain.gguf"
    plain.write_bytes(gguf_file({**SMALL, "tokenizer.chat_template": "{{ messages }}"}))

    able, unable = described(read(file)).can, described(read(plain)).can

    assert (able.tools, able.reasoning, able.images) == (True, True, False)
    assert (unable.tools, unable.reasoning) == (False, False)


def test_its_window_is_that_of_its_training_up_to_a_bound(tmp_path: Path, file: Path) -> None:
    long = tmp_path / "long.gguf"
    long.write_bytes(gguf_file({**SMALL, "llama.context_length": 131_072}))

    assert described(read(file)).can.context_window == 4096
    assert described(read(long)).can.context_window == CONTEXT_WINDOW
    assert SMOLLM2.within(512).can.context_window == 512
