"""The model of a soak: what it says follows from what it is asked, so that every kind of traffic can go on
at once and for ever.

`slow` stops in the middle of its answer until its client is gone; `calls` calls the first function that it is
offered, and says something when it has the result; `schema` answers in JSON; any other name just answers.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tests.scripted import Answer, Called, Gate, Upstream

TEXT = "Once upon a time there was a river that ran to the sea, and did not come back."
SCHEMA = {
    "type": "object",
    "properties": {"river": {"type": "string"}},
    "required": ["river"],
    "additionalProperties": False,
}
WEATHER = {"city": "Bonn"}
CODE = "import pathlib\npathlib.Path('/mnt/data/squares.csv').write_text('1,4,9')\nprint(6 * 7)"
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "weather": WEATHER,
    "file_search": {"queries": ["How long is the Loire?"]},
    "python": {"code": CODE},
}
"""What each function is called with."""


def play(upstream: Upstream) -> None:
    """Has the upstream say all this from now on."""
    upstream.on(lambda body: body["model"] == "slow", Answer(TEXT, size=2, gate=Gate(after=6)))
    upstream.on(lambda body: body["model"] == "schema", Answer('{"river": "Loire"}', size=4))
    for name, arguments in ARGUMENTS.items():
        call = Answer(reasoning="Hm.", calls=[Called(name, json.dumps(arguments))], size=4)
        upstream.on(partial(_is_asked_to_call, name), call)
    upstream.default = Answer(TEXT, size=3, reasoning="Let me see.")


def _is_asked_to_call(name: str, body: Any) -> bool:
    if body["model"] != "calls" or body["messages"][-1]["role"] == "tool":
        return False
    return next(_offered(body), None) == name


def _offered(body: Any) -> Iterator[str]:
    return (tool["function"]["name"] for tool in body.get("tools", ()))
