"""From a URL to a home of blobs."""

from pathlib import Path

from antiphon.store.blobs import Blobs, BlobsUnusable
from antiphon.store.folder_blobs import FolderBlobs

_S3 = "s3://"
_FOLDER = "file:///"


def open_blobs(url: str | None, data_dir: Path) -> Blobs:
    """`s3://BUCKET/PREFIX`, or `file:///absolute/path`; None: a folder of `data_dir`. Raises
    BlobsUnusable."""
    if url is None:
        return FolderBlobs(data_dir / "files")
    if url.startswith(_FOLDER) and len(url) > len(_FOLDER):
        return FolderBlobs(Path(url.removeprefix("file://")))
    if url.startswith(_S3) and len(url) > len(_S3):
        from antiphon.store.s3_blobs import S3Blobs

        return S3Blobs(url, data_dir / "spool")
    raise BlobsUnusable(
        f"'{url}' is not the URL of blobs. Use s3://bucket/prefix, or file:///path/to/folder."
    )
