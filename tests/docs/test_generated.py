"""What the documents take from the code is what the code says now."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripts.docs import commands, settings, states
from scripts.docs.regions import ROOT, WRITERS, documents, regions, renewed
from scripts.docs.settings import Setting

from antiphon import config

CONFIGURATION = ROOT / "docs" / "configuration.md"
STATES = ROOT / "docs" / "internals" / "states.md"


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_the_regions_of_a_document_are_current(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text == renewed(text), "run: make docs"
    assert len(list(regions(text))) == text.count("<!-- from the code: "), "a region has no end"


def subjects(path: Path, writer: str) -> list[str]:
    return [subject for name, subject in regions(path.read_text(encoding="utf-8")) if name == writer]


def test_every_section_of_the_configuration_is_documented_once() -> None:
    assert sorted(subjects(CONFIGURATION, "settings")) == sorted(
        section or "top" for section in settings.sections()
    )


def test_every_command_is_documented_once() -> None:
    assert sorted(subjects(CONFIGURATION, "command")) == sorted(commands.names())


def test_every_type_of_item_has_its_diagram_once() -> None:
    assert sorted(subjects(STATES, "states")) == sorted(states.subjects())


def test_every_writer_is_used() -> None:
    used = {name for path in documents() for name, _ in regions(path.read_text(encoding="utf-8"))}

    assert used == set(WRITERS)


@pytest.mark.parametrize("setting", settings.settings(), ids=lambda setting: setting.variable)
def test_every_key_says_what_it_means(setting: Setting) -> None:
    assert setting.meaning.endswith((".", "`"))


# ---- the variables that the document names set what it says ------------------------------------------

NEEDED: dict[str, dict[str, Any]] = {
    "backends.NAME": {"unix_socket": "/run/model.sock"},
    "connectors.NAME": {"url": "http://a.example/mcp"},
    "embeddings": {"base_url": "http://a.example/v1", "model": "a"},
    "images": {"base_url": "http://a.example/v1", "model": "a"},
    "mcp_servers.NAME": {"command": "a"},
    "moderation": {"base_url": "http://a.example/v1", "model": "a"},
    "reranker": {"base_url": "http://a.example/v1", "model": "a"},
    "webhooks.NAME": {"url": "http://a.example/hook", "secret": "whsec_AAAA"},
}
"""What each section needs at least."""

ABOVE = {"keys.NAME": f'server.keys.name = "{config.hash_key("secret")}"'}
"""What a section needs of others."""

SAMPLES = {
    "ANTIPHON_KEYS_NAME_SERVICE_TIERS": "default,flex",
    "ANTIPHON_DASHBOARD_RECORD": "errors",
    "ANTIPHON_KEYS_NAME_BUDGET_WINDOW": "day",
    "ANTIPHON_KEYS_NAME_EXPIRES_AT": "2027-01-31T00:00:00Z",
    "ANTIPHON_KEYS_NAME_MODELS": "gpt-*, llama",
    "ANTIPHON_MODERATION_FORM": "llama-guard",
    "ANTIPHON_EMBEDDINGS_THREADS": "2",
    "ANTIPHON_IMAGES_DIALECT": "sglang",
    "ANTIPHON_IMAGES_MODELS": "gpt-image-*, flux",
    "ANTIPHON_RERANKER_API": "tei",
    "ANTIPHON_SERVER_KEYS": json.dumps({"blog": config.hash_key("secret")}),
    "ANTIPHON_BACKENDS_NAME_TYPE": "llama",
    "ANTIPHON_MODELS_NAME_REASONING_EFFORT": "low",
    "ANTIPHON_MODELS_NAME_EFFORTS": "low, high",
    "ANTIPHON_BACKENDS_NAME_MODELS": "a, b",
    "ANTIPHON_BACKENDS_NAME_HOSTED": "web_search, image_generation",
    "ANTIPHON_CONNECTORS_NAME_HEADERS": '{"X-From": "us"}',
    "ANTIPHON_MCP_SERVERS_NAME_ARGS": '["-v"]',
    "ANTIPHON_MCP_SERVERS_NAME_ENV": '{"MODE": "read"}',
    "ANTIPHON_TOOLS_WEB_SEARCH_ENGINE": "duckduckgo, brave",
    "ANTIPHON_WEBHOOKS_NAME_EVENTS": "response.failed",
    "ANTIPHON_SANDBOX_DRIVER": "none",
    "ANTIPHON_SANDBOX_URL": "http://b.example:8888",
    "ANTIPHON_SANDBOX_SETUP": "start",
    "ANTIPHON_SERVER_DRAIN_SECONDS": "5",
    "ANTIPHON_SERVER_ROLE": "worker",
    "ANTIPHON_SERVER_ALLOWED_HOSTS": "ai.example.com, *.b.example",
    "ANTIPHON_SERVER_ALLOWED_ORIGINS": "https://a.example, http://b.example:3000",
    "ANTIPHON_TELEMETRY_CONTENT": "all",
    "ANTIPHON_WEBHOOKS_NAME_PROJECT": "default",
}
"""Another value than the default, where it cannot be made from the default."""


def sample(setting: Setting) -> str:
    if setting.variable in SAMPLES:
        return SAMPLES[setting.variable]
    if isinstance(setting.field.default, bool):
        return json.dumps(not setting.field.default)
    if isinstance(setting.field.default, int | float):
        return str(setting.field.default * 2 or 1)
    if setting.variable.endswith("_ENV"):
        return "A_VARIABLE"
    if setting.type == "boolean":
        return "false"
    if setting.type.startswith("number"):
        return "0.5"
    return "4096" if setting.type.startswith("integer") else "http://b.example/v1"


KIND = {
    "ANTIPHON_BACKENDS_NAME_MODEL": {"type": "llama"},
    "ANTIPHON_BACKENDS_NAME_HOSTED": {"type": "responses"},
    **{
        f"ANTIPHON_SANDBOX_{key}": {"driver": "jupyter", "url": "http://a.example:8888"}
        for key in ("URL", "TOKEN_ENV", "KERNEL")
    },
}
"""What a key needs besides: it is there for one kind of its section."""
OTHER_KIND: dict[str, dict[str, Any]] = {
    "ANTIPHON_BACKENDS_NAME_BASE_URLS": {"type": "anthropic"},
    "ANTIPHON_EMBEDDINGS_THREADS": {},
    "ANTIPHON_MODERATION_JUDGE": {},
    "ANTIPHON_MODERATION_FORM": {"judge": "a"},
}
"""What a key needs instead: it is there for a kind of its section that has nothing of the rest."""


def loaded(setting: Setting, file: Path, environ: dict[str, str]) -> Any:
    """The key, as it is read from a file that has the least of its section, and from an environment."""
    way = setting.section.replace("NAME", "name")
    least = NEEDED.get(setting.section, {}) | KIND.get(setting.variable, {})
    needed = OTHER_KIND.get(setting.variable, least)
    if environ:
        needed = {k: v for k, v in needed.items() if f"{k}_env" != setting.field.name}
    lines = [ABOVE.get(setting.section, ""), f"[{way}]"] if way else []
    file.write_text("\n".join([*lines, *(f"{k} = {json.dumps(v)}" for k, v in needed.items())]))
    value: Any = msgspec.to_builtins(config.load(file, environ={"XDG_DATA_HOME": "/x", **environ}))
    for step in (*filter(None, way.split(".")), setting.field.name):
        value = value[step]
    return value


@pytest.mark.parametrize("setting", settings.settings(), ids=lambda setting: setting.variable)
def test_every_variable_sets_its_key(setting: Setting, tmp_path: Path) -> None:
    before = loaded(setting, tmp_path / "antiphon.toml", {})
    after = loaded(setting, tmp_path / "antiphon.toml", {setting.variable: sample(setting)})

    assert after != before
