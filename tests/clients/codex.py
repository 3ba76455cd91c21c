"""The Codex command line, pointed at a server, and what it tells (`codex exec --json`)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.node import Node

Json = dict[str, Any]

CONFIG = """
model = "some-model"
model_provider = "antiphon"
approval_policy = "never"
sandbox_mode = "danger-full-access"
web_search = "disabled"
check_for_update_on_startup = false
{settings}

[analytics]
enabled = false

[model_providers.antiphon]
name = "{name}"
base_url = "{url}/v1"
wire_api = "responses"
{key}
requires_openai_auth = false
supports_websockets = {websocket}
request_max_retries = 0
stream_max_retries = 0
"""

# Where Codex has its key from. With a command it asks the server for its models; with a key from the
# environment, only where an address is given for them.
ENVIRONMENT = 'env_key = "ANTIPHON_API_KEY"'
COMMAND = 'auth = {{ command = "echo", args = ["sk-test"] }}'
ADDRESS = ENVIRONMENT + '\nmodel_catalog_url = "{url}/v1/models"'

# Codex falls back to what it knows of models in general, and says so.
UNKNOWN_MODEL = "Model metadata for `some-model` not found"


class Told:
    """The events of a run that went well."""

    def __init__(self, printed: str) -> None:
        self.events: list[Json] = [json.loads(line) for line in printed.splitlines()]
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        self.faults = [
            item["message"]
            for item in items
            if item["type"] == "error" and not item["message"].startswith(UNKNOWN_MODEL)
        ]
        assert not self.faults, self.faults
        self.thread: str = self.events[0]["thread_id"]
        self.messages = [item["text"] for item in items if item["type"] == "agent_message"]
        self.changes = [item["changes"] for item in items if item["type"] == "file_change"]
        self.mcp_calls: list[Json] = [item for item in items if item["type"] == "mcp_tool_call"]
        commands = [item for item in items if item["type"] == "command_execution"]
        self.outputs = [(item["exit_code"], item["aggregated_output"]) for item in commands]
        self.usage: Json = self.events[-1]["usage"]


@dataclass(frozen=True)
class Codex:
    """Codex with a home and a project of its own."""

    node: Node
    url: str
    websocket: bool
    home: Path
    project: Path

    def configure(self, name: str = "Antiphon", settings: str = "", key: str = ENVIRONMENT) -> None:
        """Write its configuration. A provider that is named OpenAI is trusted to compact by itself."""
        websocket = json.dumps(self.websocket)
        key = key.format(url=self.url)
        text = CONFIG.format(name=name, url=self.url, websocket=websocket, settings=settings, key=key)
        (self.home / "config.toml").write_text(text)

    def run(self, *args: str) -> Told:
        """`codex exec` until the end of its turn."""
        script = self.node.packages / "@openai" / "codex" / "bin" / "codex.js"
        env = {"CODEX_HOME": str(self.home), "ANTIPHON_API_KEY": "sk-test"}
        words = ("exec", "--skip-git-repo-check", "--json", *args)
        return Told(self.node.run(script, *words, cwd=self.project, env=env))
