"""The Python of the sandboxes, made once for all tests."""

import asyncio
import contextlib
import os
from functools import cache
from pathlib import Path

from antiphon.config import default_data_dir
from antiphon.sandbox import environment
from antiphon.sandbox.environment import Environment

_used = contextlib.ExitStack()


@cache
def kept_python() -> Environment:
    """In the folder that ANTIPHON_TEST_SANDBOX names, or where `antiphon` keeps it. It stays as long as this
    process lives."""
    kept = os.environ.get("ANTIPHON_TEST_SANDBOX")
    found = asyncio.run(environment.make(Path(kept) if kept else default_data_dir()))
    _used.enter_context(environment.used(found))
    return found
