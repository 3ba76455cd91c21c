"""The configuration: one TOML file, and every key also an environment variable.

Nothing is built here. What is set on the command line wins over the environment (`ANTIPHON_SECTION_KEY`, for
named tables `ANTIPHON_BACKENDS_NAME_KEY`), which wins over the file, which wins over the defaults of
`settings.py`, `model_settings.py` and `tool_settings.py`. A key that is not known is an error: a misspelt
setting that is silently ignored is found out too late.
"""

from antiphon.config.checks import check, is_variable
from antiphon.config.environment import RESOLVED
from antiphon.config.errors import ConfigError
from antiphon.config.loading import FILE_NAME, default_data_dir, dump, load, resolved
from antiphon.config.model_settings import BackendSettings, Embeddings, Images, Moderation, Reranker
from antiphon.config.settings import (
    Blobs,
    Config,
    Connector,
    Dashboard,
    HashedKey,
    KeySettings,
    Limits,
    McpServer,
    Outbound,
    Project,
    Retention,
    Role,
    Sandbox,
    Server,
    Store,
    Telemetry,
    Webhook,
    hash_key,
    is_loopback,
)
from antiphon.config.tool_settings import (
    SEARCH_ENGINES,
    FileSearchSettings,
    McpSettings,
    Tools,
    WebSearchSettings,
)

__all__ = [
    "FILE_NAME",
    "RESOLVED",
    "SEARCH_ENGINES",
    "BackendSettings",
    "Blobs",
    "Config",
    "ConfigError",
    "Connector",
    "Dashboard",
    "Embeddings",
    "FileSearchSettings",
    "HashedKey",
    "Images",
    "KeySettings",
    "Limits",
    "McpServer",
    "McpSettings",
    "Moderation",
    "Outbound",
    "Project",
    "Reranker",
    "Retention",
    "Role",
    "Sandbox",
    "Server",
    "Store",
    "Telemetry",
    "Tools",
    "WebSearchSettings",
    "Webhook",
    "check",
    "default_data_dir",
    "dump",
    "hash_key",
    "is_loopback",
    "is_variable",
    "load",
    "resolved",
]
