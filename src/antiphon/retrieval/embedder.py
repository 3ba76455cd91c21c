"""What turns texts into vectors."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIBRARIES = ("numpy", "simsimd", "tokenizers")
"""What looks at vectors, and counts the tokens of texts."""
Vectors: TypeAlias = "NDArray[np.float32]"
"""A row for each text; every row has the length 1, so that a product of two rows is their cosine."""


class EmbedderError(Exception):
    """Nothing was embedded; the message says why and what to do."""


class NotInstalled(EmbedderError):
    """Nothing can be searched or indexed here, until something is installed."""


def lacking() -> str | None:
    """What keeps this server from searching, with any embedder. Nothing is loaded."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    return f"{' and '.join(missing)}: `pip install 'antiphon[retrieval]'`" if missing else None


def check_installed() -> None:
    """Raises NotInstalled."""
    if words := lacking():
        raise NotInstalled(f"Searching files needs {words}.")


class Embedder(Protocol):
    """Two texts that mean the same have vectors close to each other. Vectors of two embedders cannot be
    compared: a store remembers the name of the one that it was made with."""

    @property
    def name(self) -> str:
        """Which model this is."""

    async def dimension(self) -> int:
        """Numbers in a vector. Raises EmbedderError."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text, in their order. Raises EmbedderError."""

    async def close(self) -> None: ...
