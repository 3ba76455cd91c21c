"""The Python of the sandboxes, made once for all tests."""

import asyncio
import contextlib
import os
from functools import cache
from pathlib import Path

from antiphon.config import default_data_dir
from antiphon.sandbox import environment
from antiphon.sandbox.environment import Environment, Recipe, ours

_used = contextlib.ExitStack()


def kept_python() -> Environment:
    """In the folder that ANTIPHON_TEST_SANDBOX names, or where `antiphon` keeps it."""
    return kept("", ours())


@cache
def kept(folder: str, recipe: Recipe) -> Environment:
    """An environment in a folder of that folder. It stays as long as this process lives."""
    named = os.environ.get("ANTIPHON_TEST_SANDBOX")
    place = (Path(named) if named else default_data_dir()) / folder
    found = asyncio.run(environment.make(place, recipe=recipe))
    _used.enter_context(environment.used(found))
    return found
