"""The battery against llama.cpp's server, over TCP, by each of its APIs. `make live` has more servers."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from openai import OpenAI
from tests.kept_model import kept_model
from tests.live.battery import SITUATIONS, Said, Situation
from tests.live.run import Antiphon
from tests.live.server import Live
from tests.live.servers import SERVERS

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module", params=["llama.cpp", "llama.cpp, Messages", "llama.cpp, Responses"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with SERVERS[request.param](kept_model(), tmp_path_factory.mktemp("llama")) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with Antiphon(live, tmp_path_factory.mktemp("live")) as client:
        yield client


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_over_a_real_server_the_promises_are_kept(situation: Situation, client: OpenAI, live: Live) -> None:
    with suppress(Said):
        situation(client, live)
