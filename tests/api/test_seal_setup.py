"""Whose key the seal has."""

import base64
from pathlib import Path

import pytest

from antiphon.api.seal_setup import BadSealingKey, seal_of
from antiphon.config import Config, Store

KEY = bytes(range(32))
SHARED = "postgresql://db.example/antiphon"


def config(tmp_path: Path, env: str | None = "SEAL", url: str | None = SHARED) -> Config:
    return Config(data_dir=str(tmp_path), store=Store(url=url, sealing_key_env=env))


def test_servers_with_one_key_open_what_the_others_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAL", base64.b64encode(KEY).decode() + "\n")

    sealed = seal_of(config(tmp_path / "a")).seal("p", "reasoning", "thought")

    assert seal_of(config(tmp_path / "b")).open("p", "reasoning", sealed) == "thought"
    assert list(tmp_path.iterdir()) == []


def test_the_key_that_one_server_had_goes_on_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = seal_of(config(tmp_path, env=None, url=None)).seal("p", "reasoning", "thought")
    monkeypatch.setenv("SEAL", base64.b64encode((tmp_path / "sealing.key").read_bytes()).decode())

    assert seal_of(config(tmp_path / "other")).open("p", "reasoning", sealed) == "thought"


def test_a_shared_store_without_a_key_that_is_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSealingKey, match=r"With PostgreSQL, sealing_key_env of \[store\] must name"):
        seal_of(config(tmp_path, env=None))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "names SEAL, which is not set"),
        ("", "names SEAL, which is not set"),
        ("not base64!", "is no base64"),
        (base64.b64encode(KEY[:31]).decode(), "holds 31 bytes, and must hold 32"),
        (base64.b64encode(KEY * 2).decode(), "holds 64 bytes, and must hold 32"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    if value is not None:
        monkeypatch.setenv("SEAL", value)

    with pytest.raises(BadSealingKey, match=said) as caught:
        seal_of(config(tmp_path))

    assert not value or value not in str(caught.value)
