"""`[sandbox]` reaches what it is about."""

from pathlib import Path

import pytest
from msgspec.structs import asdict

from antiphon.api.sandbox_setup import container_rules, sandbox_options
from antiphon.config import Config, Limits, Outbound, Sandbox
from antiphon.containers.rules import Rules
from antiphon.guard.addresses import anywhere, is_public


def test_the_defaults_are_those_of_the_rules() -> None:
    assert container_rules(Config(data_dir="/data")) == Rules(file_bytes=Limits().file_bytes)


def test_every_limit_is_its_own() -> None:
    settings = Sandbox(
        memory_mb=101,
        disk_mb=102,
        processes=103,
        seconds=104,
        idle_minutes=105,
        containers=106,
        project_containers=107,
    )

    rules = asdict(container_rules(Config(data_dir="/data", sandbox=settings)))

    names = "memory_mb", "disk_mb", "processes", "seconds", "idle_minutes", "sandboxes", "project_sandboxes"
    assert [rules[name] for name in names] == list(range(101, 108))


def test_a_driver_gets_its_environment_and_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "secret")
    settings = Sandbox(
        environment="/opt/python", url="http://a.example", token_env="GATEWAY_TOKEN", kernel="k", warm=2
    )

    options = sandbox_options(Config(data_dir="/data", sandbox=settings))

    assert (options.data_dir, options.environment) == (Path("/data"), Path("/opt/python"))
    assert (options.url, options.token, options.kernel) == ("http://a.example", "secret", "k")
    assert options.warm == 2


def test_hosts_lead_where_other_addresses_of_clients_may() -> None:
    private = Config(data_dir="/data", outbound=Outbound(allow_private=True))

    assert sandbox_options(Config(data_dir="/data")).reachable is is_public
    assert sandbox_options(private).reachable is anywhere
