"""Bytes of files, as answers: opened before anything is sent, so that nobody can take them away meanwhile."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse

_PIECE = 256 * 1024


async def download(path: Path, filename: str, media_type: str = "application/octet-stream") -> HttpResponse:
    """They are a stranger's: no browser is to take them for a page of ours. Raises FileNotFoundError."""
    file = await asyncio.to_thread(_Opened, path)
    plain = quote(filename) == filename
    name = f'filename="{filename}"' if plain else f"filename*=utf-8''{quote(filename)}"
    headers = {
        "content-length": str(file.size),
        "content-disposition": f"attachment; {name}",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(_pieces(file), media_type=media_type, headers=headers)


class _Opened:
    """A file that is closed when nobody has it any more, also where nobody ever read it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def read(self) -> bytes:
        return os.read(self._handle, _PIECE)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)


async def _pieces(file: _Opened) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read):
        yield piece
