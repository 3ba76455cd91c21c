"""Forms with files in them (`multipart/form-data`), read as they arrive.

A single file goes where it is wanted, chunk by chunk; several, which are small, are held, and so are the
other fields.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from antiphon.api.disconnect import Disconnected
from antiphon.api.held import hold
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, TooLarge
from antiphon.store.blobs import IncomingBlob

MAX_FIELDS = 64 * 1024
"""Bytes of all fields but the file, their names included."""


@dataclass
class Form:
    """What a form said beside its file."""

    fields: dict[str, str]
    filename: str


@dataclass
class Files:
    """What a form said beside its files, and these: their names, and their bytes."""

    fields: dict[str, str]
    files: list[tuple[str, bytes]]


async def read_form(request: Request, file_field: str, into: IncomingBlob, limit: int) -> Form:
    """The form of the request, whose field `file_field` is written to `into`.

    Raises InvalidRequest for what is no such form, TooLarge for a file past `limit` bytes.
    """
    reader = _Reader(_boundary(request), (file_field,), most=1)
    async for _, data in reader.read(request):
        if into.size + len(data) > limit:
            raise _too_large(file_field, limit)
        await into.write(data)
    if not reader.filenames:
        raise error_messages.missing(file_field)
    return Form(reader.fields, reader.filenames[0])


async def read_files(request: Request, name: str, most: int, limit: int) -> Files:
    """The form of the request with the files of its field `name` or `name[]`, at most so many. They are held
    until the request is answered.

    Raises InvalidRequest for what is no such form, TooLarge for files of more than `limit` bytes together,
    Unavailable when other requests leave no room.
    """
    reader = _Reader(_boundary(request), (name, f"{name}[]"), most)
    pieces: list[list[bytes]] = []
    size = 0
    async for file, data in reader.read(request):
        size += len(data)
        if size > limit:
            raise _too_large(name, limit)
        hold(request.scope, len(data))
        pieces += [[] for _ in range(len(pieces), file + 1)]
        pieces[file].append(data)
    if not reader.filenames:
        raise error_messages.missing(name)
    pieces += [[] for _ in range(len(pieces), len(reader.filenames))]
    contents = [b"".join(each) for each in pieces]
    return Files(reader.fields, list(zip(reader.filenames, contents, strict=True)))


class _Reader:
    """Turns bytes into fields, and into chunks of files."""

    def __init__(self, boundary: bytes, file_fields: tuple[str, ...], most: int) -> None:
        self.fields: dict[str, str] = {}
        self.filenames: list[str] = []
        self._ended = False
        self._file_fields = file_fields
        self._most = most
        self._header = self._value = b""
        self._name = ""
        self._text: list[bytes] = []
        self._held = 0
        self._chunks: list[tuple[int, bytes]] = []
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError as error:
            raise _not_a_form(str(error)) from error

    async def read(self, request: Request) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of files, each with its file's number. Raises InvalidRequest."""
        try:
            async for chunk in request.stream():
                for data in self._feed(chunk):
                    yield data
        except ClientDisconnect:
            raise Disconnected from None
        if not self._ended:
            raise _not_a_form("it ends in the middle")

    def _feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        if chunk:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _not_a_form(str(error)) from error
        chunks, self._chunks = self._chunks, []
        return chunks

    def _begin(self) -> None:
        self._name, self._text = "", []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value.decode("latin-1"))
            self._name = _text(options.get(b"name", b""))
            if self._name in self._file_fields:
                self._begin_file(_text(options.get(b"filename", b"")))
        self._header = self._value = b""

    def _begin_file(self, filename: str) -> None:
        if len(self.filenames) == self._most:
            words = "more than once" if self._most == 1 else f"more than {self._most} times"
            name = self._file_fields[0]
            raise InvalidRequest(f"'{name}' was given {words}.", param=name, code="invalid_value")
        self.filenames.append(filename)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._name in self._file_fields:
            self._chunks.append((len(self.filenames) - 1, data[start:end]))
            return
        self._held += end - start
        if self._held > MAX_FIELDS:
            raise _not_a_form("its fields are too large")
        self._text.append(data[start:end])

    def _on_part_end(self) -> None:
        if self._name not in self._file_fields:
            self._held += len(self._name)
            self.fields[self._name] = _text(b"".join(self._text))

    def _on_end(self) -> None:
        self._ended = True


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _not_a_form("its content type is not multipart/form-data with a boundary")
    return options[b"boundary"]


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _not_a_form(why: str) -> InvalidRequest:
    return InvalidRequest(f"We could not parse the form of your request: {why}.", code="invalid_form")


def _too_large(field_name: str, limit: int) -> TooLarge:
    return TooLarge(f"'{field_name}' is larger than {limit} bytes.", param=field_name, code="file_too_large")
