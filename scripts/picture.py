"""`python -m scripts.picture` takes the picture of the dashboard that the documents show: a server with a few
responses, looked at with Chromium (scripts/programs installs it)."""

import json
import tempfile
from pathlib import Path

from openai import OpenAI
from scripts.docs.regions import ROOT
from tests.conftest import Running, checked_client, config_for
from tests.dashboard.browser import chromium, tab_of
from tests.scripted import Answer, Called, Upstream, Usage
from tests.tools.libraries import shelve

PICTURE = ROOT / "docs" / "pictures" / "dashboard.png"
MOST_BYTES = 200_000
PAPERS = {"loire.md": "# The Loire\n\nThe Loire is 1,006 km long, the longest river of France."}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Upstream() as upstream,
        Running(config_for(upstream, Path(folder))) as running,
        checked_client(running.url) as client,
        chromium() as browser,
        tab_of(browser, viewport={"width": 1180, "height": 760}, color_scheme="light") as tab,
    ):
        tab.goto(f"{running.url}/dashboard/responses/{_ask(client, upstream)}")
        tab.wait_for_load_state("networkidle")
        tab.screenshot(path=PICTURE)
    size = PICTURE.stat().st_size
    assert size < MOST_BYTES, f"the picture has {size} bytes"
    print(f"{PICTURE.relative_to(ROOT)}: {size} bytes")


def _ask(client: OpenAI, upstream: Upstream) -> str:
    """Asks a few things. Returns the id of the response that is worth a look."""
    store = shelve(client, PAPERS)
    question = "How long is the Loire, and where does it end?"
    search = Answer(
        reasoning="The user asks about a river. I look into the files first.",
        calls=[Called("file_search", json.dumps({"queries": ["length of the Loire", "mouth of the Loire"]}))],
        usage=Usage(prompt=412, completion=58, reasoning=16),
    )
    said = Answer(
        "The **Loire** is 1,006 kilometres long【1】, the longest river of France. It ends in the "
        "Atlantic, at Saint-Nazaire:\n\n| | |\n|---|---|\n| Source | Mont Gerbier de Jonc |\n"
        "| Mouth | Saint-Nazaire |\n| Length | 1,006 km |\n",
        size=8,
        usage=Usage(prompt=690, completion=96, cached=384),
    )
    upstream.script(search, said)
    made = client.responses.create(
        model="qwen3-8b",
        instructions="Answer from the files.",
        input=question,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
    )
    return made.id


if __name__ == "__main__":
    main()
