"""A reranker behind llama.cpp's own server. The model is none that was made to rank: what it thinks of a text
is nothing to test, how it says so is."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.kept_model import kept_model

from antiphon.backends.rerank import RemoteReranker

pytestmark = pytest.mark.embedded

SERVE = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
params.port = 0
params.n_parallel = 1
params.verbosity = 0
server = xllamacpp.Server(params)
print("at", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url() -> Iterator[str]:
    command = [sys.executable, "-c", SERVE, str(kept_model())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield next(line for line in process.stdout if line.startswith("at ")).split()[1]
        process.communicate("", timeout=60)


async def test_it_scores_each_text(url: str) -> None:
    reranker = RemoteReranker(f"{url}/v1", "any")
    try:
        texts = ["Boats are light.", "Bread", "words " * 400, "Bread"]
        first, second, third, same = await reranker.scores("Why do boats float?", texts)
    finally:
        await reranker.close()
    assert min(first, second, third) >= 0
    assert max(first, second, third) <= 1
    assert len({first, second, third}) == 3
    assert second == pytest.approx(same, abs=1e-3), "each score is of the text at its place"
