"""From one attachment to what a model reads of it: fetched, or read from a file, checked, made into parts.

An image is a data URL of a type that models read. A file goes as it is to a model that reads such files, else
as its text, with pictures of the pages that have none; an image that was sent as a file is an image.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal, NoReturn, Protocol

from msgspec import Struct

from antiphon.context import images
from antiphon.context.sight import Sight
from antiphon.model import Capabilities
from antiphon.protocol import error_messages
from antiphon.protocol.content import (
    ComputerScreenshot,
    ImageDetail,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
)
from antiphon.protocol.errors import InvalidRequest
from antiphon.retrieval.documents import Documents, Found, Unreadable, Unsupported
from antiphon.retrieval.extract import Images
from antiphon.retrieval.kinds import PDF, TEXT, document_type, image_type
from antiphon.web.fetch import BadUrl, Fetcher, TooBig, Unfetchable

MAX_ATTACHMENT = 50 * 2**20
"""Bytes of one image or file."""
MAX_TEXT = 10_485_760
"""Characters of a file's text, as of any text."""

Shown = InputText | InputImage | InputFile | InputAudio
"""A part that holds all that it says: an image as a data URL, a file as one with a name."""
Image = InputImage | ComputerScreenshot
Kind = Literal["image", "file"]
"""What a client means to give, by which its faults are named."""


class StoredFile(Protocol):
    """A file that was uploaded."""

    @property
    def id(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def size(self) -> int: ...


class StoredFiles(Protocol):
    """Where files lie (`store.file_storage`)."""

    async def file(self, project: str, file_id: str) -> StoredFile | None: ...

    async def content(self, file: StoredFile) -> bytes | None:
        """None: it was removed meanwhile."""
        ...


class Loaded(Struct, frozen=True):
    data: bytes
    param: str
    """Where faults in it are reported."""
    filename: str = ""
    media_type: str = ""


class Loader:
    """Loads the attachments of one request."""

    def __init__(
        self,
        files: StoredFiles,
        fetcher: Fetcher,
        documents: Documents,
        project: str,
        can: Capabilities,
        most: int,
        sight: Sight,
        unseen: InputText | None = None,
    ) -> None:
        """`most`: bytes of all that is fetched or read. `unseen`: what a model that reads no images reads in
        place of each; None: the request is refused in the end."""
        self._files = files
        self._fetcher = fetcher
        self._documents = documents
        self._project = project
        self._can = can
        self._most = self._left = most
        self._sight = sight
        self._unseen = unseen

    async def load(self, part: Image | InputFile | InputAudio, path: str) -> Sequence[Shown]:
        """The parts that the model reads instead. Raises InvalidRequest."""
        if isinstance(part, InputFile):
            return await self._file(part, path)
        if isinstance(part, InputAudio):
            return (_checked_audio(part, path),)
        if self._unseen is not None and not self._can.images:
            return (self._unseen,)
        return (await self._image(part, path),)

    async def original(self, part: InputFile | InputImage, param: str = "input") -> bytes:
        """An attachment as it was given. Raises InvalidRequest; `param`: where faults of an image are
        reported."""
        if isinstance(part, InputFile):
            return (await self._loaded(part, "")).data
        if part.file_id:
            return (await self._stored(part.file_id, param, "image")).data
        url = part.image_url or ""
        if url[:5].lower() == "data:":
            return (await asyncio.to_thread(_given, url, param)).data
        return (await self._fetched(url, param, "image")).data

    async def filename(self, file_id: str) -> str | None:
        """The name of a stored file."""
        row = await self._files.file(self._project, file_id)
        return row.filename if row is not None else None

    # ---- images ----

    async def _image(self, part: Image, path: str) -> InputImage:
        detail = part.detail or "auto"
        if not self._can.images:  # reported to the client once all is known; nothing need be fetched for it
            return InputImage(image_url="data:,", detail=detail)
        url = await self._sight.url(await self._given_image(part, path), detail)
        return InputImage(image_url=url, detail=detail)

    async def _given_image(self, part: Image, path: str) -> images.Given:
        member = _only(part, ("image_url", "file_id"), path)
        param = _at(path, member)
        if part.image_url and part.image_url[:5].lower() == "data:":
            return await asyncio.to_thread(images.inline, part.image_url, param, MAX_ATTACHMENT)
        if part.image_url:
            loaded = await self._fetched(part.image_url, param, "image")
        else:
            loaded = await self._stored(part.file_id or "", param, "image")
        return images.Given(loaded.data, images.checked(loaded.data, param, MAX_ATTACHMENT), param)

    # ---- files ----

    async def _file(self, part: InputFile, path: str) -> Sequence[Shown]:
        loaded = await self._loaded(part, path)
        name = part.filename or loaded.filename or "file"
        detail = part.detail or "auto"
        if picture := image_type(loaded.data):
            given = images.Given(loaded.data, picture, loaded.param)
            return (InputImage(image_url=await self._sight.url(given, detail), detail=detail),)
        kind = document_type(loaded.data, name, loaded.media_type)
        if kind == PDF and self._can.files:
            return (InputFile(file_data=images.data_url(loaded.data, PDF), filename=name),)
        found = await self._read(loaded, name, detail)
        pictures = _pictures(found, name, detail)
        if kind != TEXT and not (pictures or found.text.strip()):
            words = f"The file '{name}' holds no text that the model could read."
            _refuse(words, loaded.param, "invalid_file")
        return (InputText(text=_in_words(name, found)), *pictures)

    async def _read(self, loaded: Loaded, name: str, detail: str) -> Found:
        """The file's text, and pictures of pages: with `detail` high of all, else of those without text."""
        wanted: Images = "none" if not self._can.images else "all" if detail == "high" else "blank"
        try:
            found = await self._documents.read(loaded.data, name, loaded.media_type, wanted, self._project)
        except Unsupported as error:
            _refuse(f"The file '{name}' cannot be used: {error}.", loaded.param, "unsupported_file")
        except Unreadable as error:
            _refuse(f"The file '{name}' cannot be used: {error}.", loaded.param, "invalid_file")
        if len(found.text) > MAX_TEXT:
            _refuse(f"The text of the file '{name}' is too long.", loaded.param, "string_above_max_length")
        return found

    async def _loaded(self, part: InputFile, path: str) -> Loaded:
        member = _only(part, ("file_id", "file_url", "file_data"), path)
        param = _at(path, member)
        if part.file_id:
            return await self._stored(part.file_id, param, "file")
        if part.file_url:
            return await self._fetched(part.file_url, param, "file")
        return await asyncio.to_thread(_given, part.file_data or "", param)

    # ---- images and files ----

    async def _fetched(self, url: str, param: str, kind: Kind) -> Loaded:
        try:
            fetched = await self._fetcher.fetch(url)
        except BadUrl as error:
            named = "image URL" if kind == "image" else "URL"
            _refuse(f"Invalid '{param}': the {named} cannot be used, {error}.", param, f"invalid_{kind}_url")
        except TooBig as error:
            _refuse(f"The {kind} at '{param}' cannot be used: {error}.", param, f"{kind}_too_large")
        except Unfetchable as error:
            words = f"Failed to download the {kind} at '{param}': {error}."
            _refuse(words, param, f"failed_to_download_{kind}")
        self._take(len(fetched.data), param)
        return Loaded(fetched.data, param, fetched.filename, fetched.media_type)

    async def _stored(self, file_id: str, param: str, kind: Kind) -> Loaded:
        code = "image_file" if kind == "image" else "file"
        row = await self._files.file(self._project, file_id)
        if row is not None and row.size > MAX_ATTACHMENT:
            _refuse(f"File '{file_id}' is larger than {MAX_ATTACHMENT} bytes.", param, f"{code}_too_large")
        if row is not None:
            self._take(row.size, param)
        data = await self._files.content(row) if row is not None else None
        if row is None or data is None:
            _refuse(f"File with id '{file_id[:100]}' not found.", param, f"{code}_not_found")
        return Loaded(data, param, row.filename)

    def _take(self, size: int, param: str) -> None:
        self._left -= size
        if self._left < 0:
            words = f"The images and files of this request are larger than {self._most} bytes together."
            _refuse(words, param, "request_too_large")


def _pictures(found: Found, name: str, detail: ImageDetail) -> Sequence[Shown]:
    shown: list[Shown] = []
    for page in found.pages:
        if page.image is not None:
            shown.append(InputText(text=f"\nPage {page.number} of {_quoted(name)}:\n"))
            shown.append(InputImage(image_url=images.data_url(page.image, "image/png"), detail=detail))
    return shown


def _given(text: str, param: str) -> Loaded:
    """A file that stands in the request. Raises InvalidRequest."""
    try:
        if text[:5].lower() != "data:":
            return Loaded(images.decoded(text), param)
        url = images.DataUrl(text)
    except ValueError:
        _refuse(
            f"Invalid '{param}'. Expected base64, or a base64-encoded data URL (e.g. "
            "'data:application/pdf;base64,aW1nIGJ5dGVzIGhlcmU=').",
            param,
            "invalid_value",
        )
    return Loaded(url.data, param, media_type=url.media_type)


def _checked_audio(part: InputAudio, path: str) -> InputAudio:
    try:
        sound = images.decoded(part.input_audio.data)
    except ValueError:
        sound = b""
    if not sound:
        param = _at(path, "input_audio.data")
        _refuse(f"Invalid '{param}'. Expected base64-encoded audio.", param, "invalid_value")
    return part


def _in_words(name: str, found: Found) -> str:
    """The file's text, with its name before it. What is missing is not kept from the model."""
    unseen = [str(page.number) for page in found.pages if not page.text and page.image is None]
    note = f"\n[No text and no picture of page {', '.join(unseen)}.]" if unseen else ""
    return f"\n<file name={_quoted(name)}>\n{found.text.strip()}{note}\n</file>\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', "'") + '"'


def _only(part: Image | InputFile, members: tuple[str, ...], path: str) -> str:
    """The one member that says where it is. Raises InvalidRequest."""
    given = [member for member in members if getattr(part, member)]
    if not given:
        raise error_messages.missing(_at(path, members[0]))
    if len(given) > 1:
        _refuse(
            f"Mutually exclusive parameters: {' and '.join(given)}. Ensure you are only providing one.",
            _at(path, given[1]),
            "mutually_exclusive_parameters",
        )
    return given[0]


def _at(path: str, member: str) -> str:
    """The param of a fault. What lies in the past has no place in this request but `input`."""
    return f"{path}.{member}" if path else "input"


def _refuse(message: str, param: str, code: str) -> NoReturn:
    raise InvalidRequest(message, param=param, code=code)
