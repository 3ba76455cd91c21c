"""What a GGUF file says of its model."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.weights.heads import SMALL, gguf_file

from antiphon.weights.errors import WeightsError
from antiphon.weights.gguf import Gguf, read

HEAD = gguf_file(SMALL)


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "Tiny-1B-Q4_K_M.gguf"


def test_template_context_and_memory_are_read(write: Path) -> None:
    write.write_bytes(HEAD)

    assert read(write) == Gguf(
        path=write,
        size=len(HEAD),
        name="Tiny-1B",
        template="{% if tools %}{% endif %}{{ enable_thinking }}",
        context=4096,
        token_bytes=4 * 2 * (8 + 8) * 2,
    )


def test_layers_may_differ_in_their_heads(write: Path) -> None:
    write.write_bytes(gguf_file({**SMALL, "llama.attention.head_count_kv": [2, 0, 1, 0]}))

    assert read(write).token_bytes == 3 * (8 + 8) * 2


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen3-4B-Instruct-Q4_K_M.gguf", "Qwen3-4B-Instruct"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Big-UD-IQ2_XXS-00001-of-00001.gguf", "Big"),
        ("ggml-model-f16.gguf", "Tiny-Of-Mine"),
        ("Q8_0.gguf", "Tiny-Of-Mine"),
    ],
)
def test_a_model_is_called_like_its_file_without_the_quantization(
    tmp_path: Path, file: str, name: str
) -> None:
    (tmp_path / file).write_bytes(HEAD)

    assert read(tmp_path / file).name == name


def test_a_split_model_has_the_size_of_all_its_files(tmp_path: Path) -> None:
    first = tmp_path / "a-00001-of-00002.gguf"
    first.write_bytes(HEAD)
    with pytest.raises(WeightsError, match=r"There is no file .*a-00002-of-00002\.gguf"):
        read(first)

    (tmp_path / "a-00002-of-00002.gguf").write_bytes(bytes(1000))

    assert read(first).size == len(HEAD) + 1000


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"PK\3\4" + bytes(100), HEAD[:-3000], b"GGUF" + b"\xff" * 99]
)
def test_what_is_no_such_file_is_said(write: Path, content: bytes) -> None:
    write.write_bytes(content)

    with pytest.raises(WeightsError, match=r"is no GGUF file, or is damaged"):
        read(write)


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 255))
def test_a_damaged_head_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(HEAD[:place] + bytes([byte]) + HEAD[place + 1 :])

    with contextlib.suppress(WeightsError):
        assert read(path).size == len(HEAD)
