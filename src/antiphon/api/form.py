"""Forms with a file in them (`multipart/form-data`), read as they arrive.

The file goes where it is wanted, chunk by chunk; the other fields are small and held.
"""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from antiphon.api.disconnect import Disconnected
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, TooLarge
from antiphon.store.blobs import IncomingBlob

MAX_FIELDS = 64 * 1024
"""Bytes of all fields but the file, their names included."""


@dataclass
class Form:
    """What a form said beside its file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""
    has_file: bool = False


async def read_form(request: Request, file_field: str, into: IncomingBlob, limit: int) -> Form:
    """The form of the request, whose field `file_field` is written to `into`.

    Raises InvalidRequest for what is no such form, TooLarge for a file past `limit` bytes.
    """
    reader = _Reader(_boundary(request), file_field)
    try:
        async for chunk in request.stream():
            for data in reader.feed(chunk):
                if into.size + len(data) > limit:
                    raise _too_large(file_field, limit)
                await into.write(data)
    except ClientDisconnect:
        raise Disconnected from None
    if not reader.ended:
        raise _not_a_form("it ends in the middle")
    if not reader.form.has_file:
        raise error_messages.missing(file_field)
    return reader.form


class _Reader:
    """Turns bytes into fields, and into chunks of the file."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self.form = Form()
        self.ended = False
        self._file_field = file_field
        self._header = self._value = b""
        self._name = ""
        self._text: list[bytes] = []
        self._held = 0
        self._chunks: list[bytes] = []
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

    def feed(self, chunk: bytes) -> list[bytes]:
        """What of the file was in the chunk. Raises InvalidRequest."""
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
            if self._name == self._file_field:
                self._begin_file(_text(options.get(b"filename", b"")))
        self._header = self._value = b""

    def _begin_file(self, filename: str) -> None:
        if self.form.has_file:
            raise InvalidRequest(
                f"'{self._file_field}' was given more than once.",
                param=self._file_field,
                code="invalid_value",
            )
        self.form.has_file = True
        self.form.filename = filename

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self._chunks.append(data[start:end])
            return
        self._held += end - start
        if self._held > MAX_FIELDS:
            raise _not_a_form("its fields are too large")
        self._text.append(data[start:end])

    def _on_part_end(self) -> None:
        if self._name != self._file_field:
            self._held += len(self._name)
            self.form.fields[self._name] = _text(b"".join(self._text))

    def _on_end(self) -> None:
        self.ended = True


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
