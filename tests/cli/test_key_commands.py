"""`antiphon key`, as who runs a server uses it: beside the server, and before there is one."""

import json
import re
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.commands import Run, one_sentence, run
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream

from antiphon.api import callers

__all__ = ["run"]


def created(run: Run, *options: str) -> dict[str, Any]:
    done = run("key", "create", *options, "--json")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("key", "list", "--json", *options).stdout.splitlines()]


def test_the_first_administrator_is_made_before_there_is_a_server(run: Run) -> None:
    said = run("key", "create", "ann", "--admin").stdout

    assert re.search(r"sk-antiphon-\S{43}\n", said)
    (row,) = listed(run)
    assert (row["name"], row["project"], row["admin"], row["limits"]) == ("ann", "default", True, {})


def test_no_list_has_a_key_or_its_hash(run: Run) -> None:
    made = created(run, "ann")

    for shown in (run("key", "list").stdout, run("key", "list", "--json", "--all").stdout):
        assert "ann" in shown
        assert made["key"] not in shown
        assert "sha256" not in shown


def test_limits_are_kept_and_changed_one_by_one(run: Run) -> None:
    limits = ("--requests-per-minute", "60", "--token-budget", "9", "--models", "gpt-*, llama")
    limits += ("--service-tiers", "default,flex")
    created(run, "bob", "--project", "shop", *limits, "--expires", "2h")
    run("key", "limit", "bob", "--concurrency", "3", "--budget-window", "day")
    (both,) = listed(run)
    said = run("key", "limit", "bob", "--tokens-per-minute", "5", "--anew").stdout
    (anew,) = listed(run)

    assert both["limits"] == {
        "models": ["gpt-*", "llama"],
        "service_tiers": ["default", "flex"],
        "requests_per_minute": 60,
        "concurrency": 3,
        "token_budget": 9,
        "budget_window": "day",
    }
    assert 7100 < both["expires_at"] - time.time() <= 7200
    assert (anew["limits"], anew["expires_at"]) == ({"tokens_per_minute": 5}, None)
    assert said == "The key 'bob' of project shop: 5 tokens/min.\n"


def test_a_server_that_runs_takes_notice(
    run: Run, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "REMEMBERED_SECONDS", 0.0)
    upstream.default = Answer("Hello")
    with Running(config_for(upstream, tmp_path / "data")) as running:
        key = created(run, "bob", "--requests-per-minute", "1")["key"]
        with checked_client(running.url, key) as client:
            client.responses.create(model="m", input="Hi")
            with pytest.raises(openai.RateLimitError):
                client.responses.create(model="m", input="Hi")
            run("key", "limit", "bob", "--requests-per-minute", "2")
            client.responses.create(model="m", input="Hi")
            run("key", "revoke", "bob")
            with pytest.raises(openai.AuthenticationError):
                client.responses.create(model="m", input="Hi")

    assert listed(run) == []
    assert [row["name"] for row in listed(run, "--all")] == ["bob"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("create", "ann"), "has a key 'ann' already"),
        (("create", "a b"), "The name of a key has"),
        (("create", "bob", "--expires", "tomorrow"), "--expires is a time such as 12h, 30d or 2027-01-31"),
        (("create", "bob", "--expires", "2020-01-01"), "expires_at is in the past"),
        (("limit", "nobody"), "There is no key 'nobody'"),
        (("revoke", "nobody"), "There is no key 'nobody'"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, command: tuple[str, ...], words: str) -> None:
    created(run, "ann")

    assert words in one_sentence(run("key", *command))


def test_a_key_of_several_projects_is_told_by_its_id(run: Run) -> None:
    ids = [created(run, "ann", "--project", project)["id"] for project in ("one", "two")]

    said = one_sentence(run("key", "revoke", "ann"))
    assert all(each in said for each in ids)
    assert run("key", "revoke", ids[0]).stdout == "The key 'ann' of project one is let in no more.\n"
    assert run("key", "revoke", "ann").stdout == "The key 'ann' of project two is let in no more.\n"


def test_where_the_configuration_has_several_projects_one_is_named(run: Run, tmp_path: Path) -> None:
    lines = [f'{name} = "sha256:{digit * 64}"' for name, digit in (("one", "1"), ("two", "2"))]
    (tmp_path / "antiphon.toml").write_text("\n".join(["[server.keys]", *lines]), encoding="utf-8")

    assert "Say --project, with one of one, two or a new one" in one_sentence(run("key", "create", "ann"))
    assert created(run, "ann", "--project", "new")["project"] == "new"
