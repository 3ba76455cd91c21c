"""What tools that run here work with, as the configuration says."""

import msgspec

from antiphon.api.search_setup import can_embed
from antiphon.api.surroundings import reachable, secret
from antiphon.api.web_setup import web_of
from antiphon.config import Config, Connector
from antiphon.containers.room import Room
from antiphon.mcp.base import Configured, Limits, Local
from antiphon.mcp.pool import Pool
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.finder import Finder
from antiphon.scripting.player import Player, is_installed
from antiphon.tools.context import Images, SearchLimits, ToolResources


def tool_resources(
    config: Config, documents: Documents, finder: Finder, room: Room, images: Images | None
) -> ToolResources:
    """Make it within an event loop; its owner closes what it holds."""
    pool = Pool(Limits(**msgspec.structs.asdict(config.tools.mcp)), reachable(config.outbound))
    connectors, servers = _connectors(config), _mcp_servers(config)
    settings = config.tools.file_search
    return ToolResources(
        mcp=pool,
        connectors=connectors,
        mcp_servers=servers,
        web=web_of(config.tools.web_search, config.outbound, documents, pool, {**connectors, **servers}),
        finder=finder if can_embed(config.embeddings) else None,
        containers=room,
        images=images,
        player=Player() if is_installed() else None,
        file_search=SearchLimits(stores=settings.stores, seconds=settings.seconds),
    )


def _connectors(config: Config) -> dict[str, Configured]:
    return {
        name: Configured(url=connector.url, headers=_connector_headers(connector))
        for name, connector in config.connectors.items()
    }


def _mcp_servers(config: Config) -> dict[str, Local]:
    return {
        name: Local(command=server.command, args=server.args, env=server.env)
        for name, server in config.mcp_servers.items()
    }


def _connector_headers(connector: Connector) -> dict[str, str]:
    token = secret(connector.authorization_env)
    return connector.headers | ({"Authorization": f"Bearer {token}"} if token else {})
