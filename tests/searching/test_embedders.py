"""Files that are indexed while the embedder is another one, or none that answers."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import APIStatusError, BadRequestError
from tests.api.storing import HARBOURS, TREES, filled, upload
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream

from antiphon.config import Embeddings


def test_a_store_of_another_embedder_is_not_searched(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path)
    with Running(config) as running, checked_client(running.url) as client:
        store, _ = filled(client, TREES)
    other = replace(config, embeddings=Embeddings(base_url=upstream.base_url, model="maxi"))
    with Running(other) as running, checked_client(running.url) as client:
        with pytest.raises(BadRequestError, match=r"\[embeddings\].*antiphon files reindex") as refused:
            client.vector_stores.search(store.id, query="oak")
        added = client.vector_stores.files.create_and_poll(
            upload(client, HARBOURS, "a.txt"), vector_store_id=store.id
        )

    assert refused.value.code == "wrong_embedder"
    assert added.status == "failed"
    assert added.last_error is not None
    assert "antiphon files reindex" in added.last_error.message


def test_a_search_says_when_the_embedder_does_not_answer(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path)
    with Running(config) as running, checked_client(running.url) as client:
        store, _ = filled(client, TREES)
    gone = Embeddings(base_url="http://127.0.0.1:9/v1", model="all-MiniLM-L6-v2")
    with (
        Running(replace(config, embeddings=gone)) as running,
        checked_client(running.url) as client,
        pytest.raises(APIStatusError) as refused,
    ):
        client.vector_stores.search(store.id, query="oak")

    assert (refused.value.status_code, refused.value.code) == (502, "embeddings_failed")
