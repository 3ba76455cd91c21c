"""The catalogue of models that Codex reads: what it knows of each before it asks one (clients.md section 2).

Codex refuses the whole list for one entry that it cannot read: an entry has every member that some version of
it cannot do without, and none whose values differ between versions.
"""

import hashlib
from collections.abc import Collection, Iterable

from antiphon.model import Capabilities, Model
from antiphon.protocol.wire import JsonObject

INSTRUCTIONS = """\
You are a coding agent. You work in the user's project through the Codex command line: you read files, run \
commands, and change files with your tools, until the task is done.

# How you work
- Look before you change. Find your way with quick searches (`rg` where it is installed, else `grep` and \
`find`), and read what you are going to change.
- Then act: call the tool instead of describing the call. Go on until the task is solved; ask only when you \
cannot go on without an answer.
- Make the smallest change that solves the task at its root, in the style of the code around it. Leave alone \
what has nothing to do with it, and never undo changes that are not yours.
- Run the project's own tests or commands to see that your change works. Say so when you could not.
- Do not commit, push, or delete data unless you are asked to.
- Before calls that take long, say in one short sentence what you are about to do.
- Obey the AGENTS.md files of the project: each holds for the folder it is in; the deeper one wins, and what \
the user says wins over all of them.

# Changing files
Use the tool `apply_patch` if you have it. A patch looks like this:

*** Begin Patch
*** Update File: path/to/file.py
@@ def name_of_the_place():
 a line that stays
-a line that goes
+a line that comes
*** Add File: path/to/new.py
+its first line
*** Delete File: path/to/old.py
*** End Patch

Paths are relative. Three lines that stay, before and after each change, show where it belongs; they are \
copied exactly, each with a blank in front. Do not read a file again only to see whether a patch was \
applied: it fails when it was not.

# What you answer
When you are done, say briefly what you changed and where (`path/to/file.py:12`), how you know that it \
works, and what is left. Do not repeat whole files. Be friendly, exact, and short.
"""
"""What a model reads first. Codex takes no entry without, and has none of its own for such a model. They are
short, since small models read them."""

_EFFORTS = (
    ("none", "Answers at once"),
    ("minimal", "Answers soon, with hardly any reasoning"),
    ("low", "Answers soon, with little reasoning"),
    ("medium", "Reasons as far as most tasks need"),
    ("high", "Reasons longer, for hard tasks"),
    ("xhigh", "Reasons much longer, for the hardest tasks"),
    ("max", "Reasons as long as it can"),
)
_USUAL = frozenset(("low", "medium", "high"))
"""What a model takes of which nothing is known."""
_OUTPUT_TOKENS = 10_000
"""Of a command's output, what a model reads at most."""
_OUTPUT_SHARE = 8
"""Or so many times less than its window holds."""


def catalogue(models: Iterable[tuple[Model, Capabilities]]) -> list[JsonObject]:
    """The entries, in the order in which Codex is to show them."""
    return [_entry(priority, model, can) for priority, (model, can) in enumerate(models)]


def etag(body: bytes) -> str:
    """By which Codex knows whether its copy is the newest."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _entry(priority: int, model: Model, can: Capabilities) -> JsonObject:
    window = model.context_window
    output = _OUTPUT_TOKENS if window is None else min(_OUTPUT_TOKENS, window // _OUTPUT_SHARE)
    entry: JsonObject = {
        "slug": model.id,
        "display_name": model.id,
        "description": f"Served by {model.owned_by}.",
        "supported_reasoning_levels": [
            {"effort": effort, "description": about} for effort, about in _EFFORTS if effort in _efforts(can)
        ],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "availability_nux": None,
        "upgrade": None,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": can.reasoning,
        "default_reasoning_summary": "none",
        "support_verbosity": can.verbosity,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": "text",
        "truncation_policy": {"mode": "tokens", "limit": output},
        "supports_parallel_tool_calls": can.parallel_tools,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if can.images else ["text"],
    }
    return entry if window is None else entry | {"context_window": window, "max_context_window": window}


def _efforts(can: Capabilities) -> Collection[str]:
    if not can.reasoning:
        return ()
    return _USUAL if can.efforts is None else can.efforts
