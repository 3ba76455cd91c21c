"""What the types of a configuration cannot express."""

import os
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from antiphon.config.errors import ConfigError, check_known
from antiphon.config.model_settings import BackendSettings, Embeddings, Moderation, Reranker
from antiphon.config.settings import Config, Sandbox
from antiphon.config.tool_settings import SEARCH_ENGINES

_HOSTED: Final = ("web_search", "code_interpreter", "image_generation")
_RUN_HERE: Final = {
    "file_search": "the files and vector stores of a request are this server's",
    "mcp": "secrets and approvals stay with this server",
    "shell": "the containers and skills of a request are this server's",
}
"""Tools that are not left to a model's server, and why."""
_HOST: Final = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+")
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(config: Config, where: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raises `ConfigError` for what cannot be used."""
    _check_variables(config, where, environ)
    for name, backend in config.backends.items():
        _check_addresses(name, backend, where)
        _check_api(name, backend, where)
        if backend.type == "llama":
            _check_embedded(name, backend, where)
        elif backend.model is not None:
            raise ConfigError(
                f'model of [backends.{name}] in {where} is for an embedded model, with type = "llama": '
                "which model of a server answers is said by default or models."
            )
    for name, connector in config.connectors.items():
        _check_url(connector.url, "url", f"[connectors.{name}]", where)
    _check_server(config, where)
    for name in config.keys:
        if name not in config.server.keys:
            raise ConfigError(
                f"[keys.{name}] in {where} says what a key may that is not in [server.keys]: `antiphon key "
                f"{name}` makes one."
            )
    _check_models(config, where)
    _check_models_beside(config, where)
    _check_moderation(config.moderation, where)
    _check_web_search(config, where)
    _check_sandbox(config.sandbox, where)
    _check_webhooks(config, where)
    if config.telemetry.otlp_endpoint is not None:
        _check_url(config.telemetry.otlp_endpoint, "otlp_endpoint", "[telemetry]", where)
    defaults = [name for name, backend in config.backends.items() if backend.default]
    if len(defaults) > 1:
        raise ConfigError(f"Only one backend can be the default; in {where} there are {', '.join(defaults)}.")


def is_variable(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether it may be the name of one. Containers have some that no shell could set, such as
    `openai-api-key` of a secret of Kubernetes: those are in the environment."""
    return bool(_VARIABLE.fullmatch(text)) or text in environ


def _check_variables(settings: Struct, where: str, environ: Mapping[str, str]) -> None:
    """A secret that stands where its variable should be named is not repeated."""
    for key in settings.__struct_fields__:
        value = getattr(settings, key)
        for each in value.values() if isinstance(value, dict) else [value]:
            if isinstance(each, Struct):
                _check_variables(each, where, environ)
            elif key.endswith("_env") and each and not is_variable(each, environ):
                raise ConfigError(
                    f"{key} in {where} is the name of an environment variable that holds the secret, and not "
                    "the secret itself."
                )


def _check_addresses(name: str, backend: BackendSettings, where: str) -> None:
    section, several = f"[backends.{name}]", backend.base_urls
    addresses = [url for url in (backend.base_url, *several) if url]
    served = backend.type in ("chat_completions", "responses")
    if served and not (addresses or backend.unix_socket):
        raise ConfigError(f"{section} in {where} needs a base_url, for example http://127.0.0.1:11434/v1.")
    if backend.base_url and several:
        raise ConfigError(f"{section} in {where} has a base_url and base_urls: give one of them.")
    if several and backend.unix_socket:
        raise ConfigError(f"base_urls of {section} in {where} would all lead to its unix_socket.")
    for url in addresses:
        _check_url(url, "base_urls" if several else "base_url", section, where)


def _check_api(name: str, backend: BackendSettings, where: str) -> None:
    """What goes with one API alone."""
    if backend.dialect and backend.type != "chat_completions":
        raise ConfigError(f"dialect of [backends.{name}] in {where} is for servers of Chat Completions.")
    if backend.hosted and backend.type != "responses":
        raise ConfigError(
            f"hosted of [backends.{name}] in {where} names tools of a server that speaks the Responses API: "
            'it goes with type = "responses".'
        )
    for tool in backend.hosted:
        if tool in _RUN_HERE:
            raise ConfigError(
                f"hosted of [backends.{name}] in {where} cannot have {tool}, which is run here: "
                f"{_RUN_HERE[tool]}."
            )
        check_known(tool, _HOSTED, f"hosted of [backends.{name}] in {where}", "tool")


def _check_embedded(name: str, backend: BackendSettings, where: str) -> None:
    if backend.base_url or backend.base_urls:
        raise ConfigError(f"[backends.{name}] in {where} is an embedded model: it has no base_url.")
    if not (backend.structured_output and backend.text_calls):
        raise ConfigError(
            f"[backends.{name}] in {where} is an embedded model: what it can do need not be said."
        )


def _check_server(config: Config, where: str) -> None:
    for host in config.server.allowed_hosts:
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"allowed_hosts of [server] in {where} takes names without scheme and port, such as "
                f"ai.example.com or *.example.com, and not '{host}'."
            )
    for origin in config.server.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"allowed_origins of [server] in {where} takes scheme, host and port in lower case, such as "
                f"https://app.example.com or http://localhost:3000, and not '{origin}'."
            )
    if config.limits.held_bytes < config.server.max_body_bytes:
        raise ConfigError(
            f"held_bytes of [limits] in {where} must be at least {config.server.max_body_bytes}, which is "
            "max_body_bytes of [server]: a body of that size could never be taken."
        )


def _check_models(config: Config, where: str) -> None:
    for name, model in config.models.items():
        default, taken = model.reasoning_effort, model.efforts
        if default is not None and taken and default not in taken:
            raise ConfigError(
                f"reasoning_effort of [models.{name}] in {where} is '{default}', which is not among its "
                "efforts."
            )


def _check_models_beside(config: Config, where: str) -> None:
    """Servers beside the backends: one that is named has an address, and a model where it has several."""
    beside = (("embeddings", config.embeddings), ("reranker", config.reranker), ("images", config.images))
    for section, named in beside:
        if named.base_url is not None:
            if isinstance(named, Embeddings) and named.threads is not None:
                raise ConfigError(
                    f"threads of [embeddings] in {where} are those of the embedded embedder, and base_url "
                    "names another one."
                )
            _check_url(named.base_url, "base_url", f"[{section}]", where)
            if not named.model and not (isinstance(named, Reranker) and named.api == "tei"):
                raise ConfigError(
                    f"[{section}] in {where} needs a model: the name that its server knows it by."
                )
        elif named.model or named.api_key_env:
            raise ConfigError(
                f"[{section}] in {where} needs a base_url, for example http://127.0.0.1:11434/v1."
            )


def _check_moderation(settings: Moderation, where: str) -> None:
    section = f"[moderation] in {where}"
    if settings.judge is not None and (settings.base_url or settings.model or settings.api_key_env):
        raise ConfigError(
            f"{section} has either base_url, the server that judges, with its model and key, or judge, a "
            "model of a backend; not both."
        )
    if settings.judge is None and settings.form != "auto":
        raise ConfigError(f"form of {section} says how a judge is asked, and there is none.")
    if settings.base_url is not None:
        _check_url(settings.base_url, "base_url", "[moderation]", where)
        if not settings.model:
            raise ConfigError(f"{section} needs a model: the name that its server knows it by.")
    elif settings.model or settings.api_key_env:
        raise ConfigError(f"{section} needs a base_url, for example https://api.openai.com/v1.")


def _check_web_search(config: Config, where: str) -> None:
    settings, section = config.tools.web_search, f"[tools.web_search] of {where}"
    for name in settings.engines:
        if server := name.removeprefix("mcp:") if name.startswith("mcp:") else None:
            check_known(server, (*config.mcp_servers, *config.connectors), section, "MCP server")
        else:
            check_known(name, (*SEARCH_ENGINES, "mcp:NAME"), section, "engine")
    if "searxng" in settings.engines and settings.url is None:
        raise ConfigError(f"{section} needs the url of SearXNG, for example http://127.0.0.1:8888.")
    if settings.url is not None:
        _check_url(settings.url, "url", "[tools.web_search]", where)


def _check_sandbox(sandbox: Sandbox, where: str) -> None:
    if sandbox.driver == "jupyter" and sandbox.url is None:
        raise ConfigError(f"[sandbox] in {where} needs the url of the Jupyter gateway.")
    if sandbox.driver != "jupyter" and (sandbox.url or sandbox.token_env or sandbox.kernel):
        raise ConfigError(f'url, token_env and kernel of [sandbox] in {where} go with driver = "jupyter".')
    if sandbox.url is not None:
        _check_url(sandbox.url, "url", "[sandbox]", where)


def _check_webhooks(config: Config, where: str) -> None:
    projects = tuple(config.projects_by_key().values() or ("default",))
    for name, webhook in config.webhooks.items():
        section = f"[webhooks.{name}]"
        _check_url(webhook.url, "url", section, where)
        if (webhook.secret is None) == (webhook.secret_env is None):
            raise ConfigError(
                f"{section} in {where} needs secret_env or secret: `antiphon webhooks secret` makes one."
            )
        if webhook.project is not None:
            check_known(webhook.project, projects, f"{section} of {where}", "project")


def _check_url(url: str, key: str, section: str, where: str) -> None:
    if not re.match("https?://[^/]", url):
        raise ConfigError(f"{key} of {section} in {where} must begin with http:// or https://.")
