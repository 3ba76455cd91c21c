"""The files and images that items have attached, as the client gave them: for tools that work with files
rather than read them."""

import mimetypes
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from antiphon.context.loading import Loader
from antiphon.protocol.content import InputFile, InputImage

Attachment = InputFile | InputImage

_LONGEST = 128
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\\]+")


class Original(NamedTuple):
    """An attachment under a name that no other of them has. `read` gives its bytes."""

    name: str
    part: Attachment
    loader: Loader

    async def read(self) -> bytes:
        """Raises InvalidRequest when it cannot be had any more."""
        return await self.loader.original(self.part)


async def originals(parts: Sequence[Attachment], loader: Loader) -> Sequence[Original]:
    """The attachments with their names."""
    names = _Names()
    return [Original(names.apart(_fit(await _name(part, loader))), part, loader) for part in parts]


async def _name(part: Attachment, loader: Loader) -> str:
    if isinstance(part, InputFile) and part.filename:
        return part.filename
    if part.file_id:
        return await loader.filename(part.file_id) or part.file_id
    url = (part.file_url if isinstance(part, InputFile) else part.image_url) or ""
    if url[:5].lower() == "data:":
        return _named("image", url)
    if isinstance(part, InputFile) and part.file_data:
        return _named("file", part.file_data)
    try:
        return unquote(PurePosixPath(urlsplit(url).path).name)
    except ValueError:  # who wants to read it hears what is wrong with its URL
        return ""


def _named(stem: str, url: str) -> str:
    """A name for what a data URL holds."""
    media_type = url[5:].partition(",")[0].partition(";")[0].strip().lower()
    return stem + (mimetypes.guess_extension(media_type) or "")


def _fit(name: str) -> str:
    name = _UNFIT.sub("_", name).strip(". ")
    return name[-_LONGEST:] or "file"


class _Names:
    """Names that were given. Of many that are the same, none is tried twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def apart(self, name: str) -> str:
        path, number = PurePosixPath(name), self._next.get(name, 1)
        found = name
        while found in self._taken:
            number += 1
            found = f"{path.stem}_{number}{path.suffix}"
        self._next[name] = number
        self._taken.add(found)
        return found
