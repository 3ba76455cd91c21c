"""An MCP server that does not end, with a child that does not either: `python mcp_hanging.py PIPE WAY`.

It writes to the pipe who they are. The WAY: `mute` never answers; `deaf` answers, and does not end when its
input does.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mcp.server import MCPServer

_CHILD = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.close(1); signal.pause()"
server = MCPServer("hanging")


@server.tool()
def greet() -> str:
    return "hello"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with subprocess.Popen([sys.executable, "-c", _CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()  # until it is as deaf as we are
        Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
        if sys.argv[2] == "deaf":
            server.run("stdio")
        while True:
            time.sleep(60)
