"""A form of which the one part is a file (RFC 7578), read piece by piece."""

import re
import unicodedata
from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from warehouse.errors import FieldError, MalformedRequest, field_error
from warehouse.http.validation import json_pointer

FORM = "multipart/form-data"
PART = "file"
POINTER = f"/{PART}"

LONGEST_BOUNDARY = 70
"""As RFC 2046 has it; more would be a burden to whoever looks for it."""
LONGEST_NAME = 255
"""Characters."""
PART_HEADERS = 8
PART_HEADER_BYTES = 4096
"""Of each of them at most."""

_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)


class FileForm:
    def __init__(self, boundary: bytes) -> None:
        """Raises `MalformedRequest`."""
        if not 0 < len(boundary) <= LONGEST_BOUNDARY:
            raise _malformed("Content-Type", "boundary", f"Name a boundary of 1 to {LONGEST_BOUNDARY} characters.")
        self.head: tuple[str, str] | None = None
        """The file's name and media type, once they have been read."""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_name,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_file,
                "on_part_data": self._take_data,
                "on_end": self._end,
            },
            max_header_count=PART_HEADERS,
            max_header_size=PART_HEADER_BYTES,
        )
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._pieces: list[bytes] = []
        self._is_empty = True
        self._has_ended = False

    def feed(self, data: bytes) -> Sequence[bytes]:
        """What of the file is in it. Raises `MalformedRequest` and `Invalid`."""
        self._pieces = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            detail = (
                f"The body is no form with the boundary that Content-Type names, or a head in it is too large: {error}"
            )
            raise _malformed("", "multipart", detail) from error
        return self._pieces

    def check_end(self) -> None:
        """Raises `MalformedRequest` and `Invalid` where the body may not end here."""
        if not self._has_ended:
            raise _malformed("", "multipart", "The body ends before its last boundary.")
        if self.head is None:
            raise field_error(POINTER, "missing", f"Send a part named {PART}.")
        if self._is_empty:
            raise field_error(POINTER, "empty", "The file is empty.")

    def _begin_part(self) -> None:
        self._headers = {}

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _begin_file(self) -> None:
        disposition = self._headers.get("content-disposition", "")
        part = _parameter(disposition, b"name")
        if part is None:
            raise _malformed("", "part", "Each part needs a Content-Disposition with a name.")
        if part != PART:
            raise field_error(json_pointer([part]), "unknown_part", f"There is no such part here, only {PART}.")
        if self.head is not None:
            raise field_error(POINTER, "repeated_part", "Send one file.")
        name = file_name(disposition)
        if name is None:
            raise field_error(POINTER, "file_name", "Send a file, with its name.")
        media_type, _ = parse_options_header(self._headers.get("content-type"))
        self.head = name, media_type.decode("latin-1")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._is_empty = False
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._has_ended = True


def _parameter(disposition: str, name: bytes) -> str | None:
    _, options = parse_options_header(disposition)
    value = options.get(name)
    # Clients send UTF-8 (RFC 7578, 5.1), whatever the rest of the head is in.
    return None if value is None else value.decode("utf-8", "replace")


def file_name(disposition: str) -> str | None:
    """Without the folders and what cannot be seen; of a very long one the end, which tells what it is."""
    given = _FOLDERS.sub("", _parameter(disposition, b"filename") or "")
    seen = "".join(each for each in unicodedata.normalize("NFC", given) if unicodedata.category(each)[0] != "C")
    name = seen.strip()[-LONGEST_NAME:].strip()
    return None if name in ("", ".", "..") else name


def _malformed(pointer: str, code: str, detail: str) -> MalformedRequest:
    return MalformedRequest(detail, errors=(FieldError(pointer, code, detail),))
