"""Bytes of files, as answers: opened before anything is sent, so that nobody can take them away meanwhile."""

from urllib.parse import quote

from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse

from antiphon.store.blobs import OpenedBlob


def download(blob: OpenedBlob, filename: str, media_type: str = "application/octet-stream") -> HttpResponse:
    """They are a stranger's: no browser is to take them for a page of ours."""
    plain = quote(filename) == filename
    name = f'filename="{filename}"' if plain else f"filename*=utf-8''{quote(filename)}"
    headers = {
        "content-length": str(blob.size),
        "content-disposition": f"attachment; {name}",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(blob.pieces(), media_type=media_type, headers=headers)
