"""Who is let in: keys of the configuration, and those made at run time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import openai
import pytest
from msgspec.structs import replace
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream

from antiphon.api import callers
from antiphon.config import Config, KeySettings, Server, hash_key
from antiphon.keys.issuing import BadKey, Issuer
from antiphon.store.keys import KeyLimits, KeyRow
from antiphon.store.open import open_store
from antiphon.store.store import Store

T = TypeVar("T")


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    upstream.default = Answer("Hello")
    return config_for(upstream, tmp_path)


@pytest.fixture(autouse=True)
def _forgotten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store says of a key holds for no longer than one request."""
    monkeypatch.setattr(callers, "REMEMBERED_SECONDS", 0.0)


def make(
    config: Config, project: str, name: str = "one", expires_at: int | None = None
) -> tuple[str, KeyRow]:
    async def made(store: Store) -> tuple[str, KeyRow]:
        new = await Issuer(store.keys, None).create(project, name, KeyLimits(), expires_at)
        return new.secret, new.row

    return asyncio.run(_with_store(config, made))


async def _with_store(config: Config, ask: Callable[[Store], Awaitable[T]]) -> T:
    store = await open_store(config.store_url)
    try:
        return await ask(store)
    finally:
        await store.close()


def letting(config: Config, server: Server) -> Config:
    return replace(config, server=server)


def ask(running: Running, key: str) -> str:
    with checked_client(running.url, key) as client:
        return client.responses.create(model="m", input="Hi").id


def sees(running: Running, key: str, response_id: str) -> bool:
    with checked_client(running.url, key) as client:
        try:
            client.responses.retrieve(response_id)
        except openai.NotFoundError:
            return False
        return True


def test_a_key_made_at_run_time_has_its_project_and_locks_nobody_out(config: Config) -> None:
    with Running(config) as running:
        key, _ = make(config, "blog")
        mine, theirs = ask(running, key), ask(running, "any")

        assert (sees(running, key, mine), sees(running, "any", mine)) == (True, False)
        assert (sees(running, key, theirs), sees(running, "other", theirs)) == (False, True)


def test_where_keys_are_required_only_who_has_one_is_let_in(config: Config) -> None:
    with Running(letting(config, Server(verify=True, require_keys=True))) as running:
        key, row = make(config, "blog")

        ask(running, key)
        for wrong in ("sk-wrong", row.digest, row.hint.replace("…", "x")):
            with pytest.raises(openai.AuthenticationError) as refused:
                ask(running, wrong)
            assert refused.value.code == "invalid_api_key"
            assert wrong not in str(refused.value)


def test_a_key_is_let_in_beside_those_of_the_configuration(config: Config) -> None:
    server = Server(verify=True, keys={"shop": hash_key("sk-shop")})
    with Running(letting(config, server)) as running:
        key, _ = make(config, "shop", "second")

        assert sees(running, key, ask(running, "sk-shop"))


def test_a_key_that_was_revoked_is_refused_and_so_is_it_where_none_is_needed(config: Config) -> None:
    with Running(config) as running:
        key, row = make(config, "blog")
        ask(running, key)
        asyncio.run(_with_store(config, lambda store: Issuer(store.keys, None).revoke(row.id)))

        with pytest.raises(openai.AuthenticationError, match="was revoked"):
            ask(running, key)
        ask(running, "any")


def test_a_key_that_has_expired_is_refused(config: Config) -> None:
    with Running(config) as running:
        key, row = make(config, "blog", expires_at=int(time.time()) + 3600)
        ask(running, key)
        assert row.expires_at is not None
        gone = row.expires_at - 7200
        asyncio.run(
            _with_store(config, lambda store: store.keys.limit(None, row.id, KeyLimits(), expires_at=gone))
        )

        with pytest.raises(openai.AuthenticationError, match="has expired"):
            ask(running, key)


def test_several_keys_of_the_configuration_are_of_one_project_until_they_expire(config: Config) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    keys = {
        "one": KeySettings(project="shop"),
        "two": KeySettings(project="shop"),
        "old": KeySettings(project="shop", expires_at=past),
    }
    hashed = {name: hash_key(f"sk-{number}") for number, name in enumerate(keys, 1)}
    with Running(replace(config, server=Server(verify=True, keys=hashed), keys=keys)) as running:
        assert sees(running, "sk-2", ask(running, "sk-1"))
        with pytest.raises(openai.AuthenticationError, match="has expired"):
            ask(running, "sk-3")


@pytest.mark.parametrize(
    ("project", "name", "limits", "words"),
    [
        ("a b", "one", KeyLimits(), "name of a project"),
        ("p", "", KeyLimits(), "name of a key"),
        ("p", "one", KeyLimits(concurrency=0), "concurrency is a number from 1"),
        ("p", "one", KeyLimits(models=("a b",)), "names and patterns"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_in_words(
    tmp_path: Path, project: str, name: str, limits: KeyLimits, words: str
) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(BadKey, match=words):
        await Issuer(store.keys, None).create(project, name, limits)
    await store.close()


async def test_who_is_of_a_project_makes_keys_of_it_alone_and_of_no_administrator(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/a.db")
    mine, other = Issuer(store.keys, "p"), Issuer(store.keys, None)
    new = await other.create("q", "one", KeyLimits())
    for project, admin in (("q", False), ("p", True)):
        with pytest.raises(BadKey, match="Only an administrator"):
            await mine.create(project, "two", KeyLimits(), admin=admin)
    with pytest.raises(BadKey, match="There is no key"):
        await mine.revoke(new.row.id)
    await mine.create("p", "one", KeyLimits())
    with pytest.raises(BadKey, match="has a key 'one' already"):
        await mine.create("p", "one", KeyLimits())

    assert [row.project for row in await mine.listed()] == ["p"]
    assert new.secret not in str(await other.listed())
    await store.close()
