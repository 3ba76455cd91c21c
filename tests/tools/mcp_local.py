"""An MCP server that is started: `python mcp_local.py PLACE`. It leaves its traces in that place."""

import os
import sys
from pathlib import Path

from mcp.server import MCPServer

place = Path(sys.argv[1])
server = MCPServer("local")


@server.tool()
def greet() -> str:
    return os.environ["WORD"]


@server.tool()
def pid() -> str:
    return str(os.getpid())


@server.tool()
def die() -> str:
    with (place / "deaths").open("a") as deaths:
        deaths.write("x")
    os._exit(1)


if __name__ == "__main__":
    with (place / "starts").open("a") as starts:
        starts.write("x")
    if (place / "broken").exists():
        (place / "broken").unlink()
        sys.exit("out of order")
    server.run("stdio")
