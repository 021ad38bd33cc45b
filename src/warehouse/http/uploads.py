"""Files that clients send, read piece by piece: the one part of a form, or the whole body."""

import asyncio
import re
import unicodedata
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from warehouse.errors import FieldError, MalformedRequest, UnsupportedMediaType, field_error
from warehouse.http.validation import json_pointer

FORM = "multipart/form-data"
RAW = (
    "text/csv",
    "application/x-ndjson",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/octet-stream",
)
PART = "file"
POINTER = f"/{PART}"

LONGEST_NAME = 255
"""Characters."""
PART_HEADERS = 8
PART_HEADER_BYTES = 4096
"""Of each of them at most."""

_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Upload:
    """`file_name` is a bare name, None for a body that came without; `media_type` is what the client says it is, empty
    where it does not. The bytes come as the client sends them, in pieces of some hundred kilobytes at most."""

    file_name: str | None
    media_type: str
    chunks: AsyncIterator[bytes]
    """Ends only with the whole file. Raises `MalformedRequest` where it breaks off, `Invalid` where it is empty or more
    comes after it, and what the limits of the body raise."""


async def received_upload(request: Request) -> Upload:
    """The file that the request brings: the part `file` of a form, or a body of one of the media types `RAW`, which may
    be named by Content-Disposition. The endpoint is to be marked by `@takes_upload` and has no other body.

    Returns when the file begins. Raises `UnsupportedMediaType`, `MalformedRequest` and `Invalid`.
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    media_type = content_type.decode("latin-1")
    if media_type in RAW:
        name = _file_name(request.headers.get("content-disposition", ""))
        return Upload(name, media_type, _Whole(_Body(request.receive)))
    if media_type != FORM:
        raise UnsupportedMediaType(f"Send the file as {FORM}, or as a body of {', '.join(RAW[:-1])} or {RAW[-1]}.")
    chunks = _OfForm(_Body(request.receive), _Form(_boundary(options.get(b"boundary", b""))))
    name, media_type = await chunks.head()
    return Upload(name, media_type, chunks)


def _boundary(boundary: bytes) -> bytes:
    # As RFC 2046 has it; more would be a burden to whoever looks for it.
    if not 0 < len(boundary) <= 70:
        raise _malformed("Content-Type", "boundary", "Name a boundary of 1 to 70 characters.")
    return boundary


class _Body:
    """The pieces of a body as the server hands them on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def read(self) -> bytes | None:
        """None after the last. Raises `MalformedRequest` where the client leaves before."""
        if not self._more:
            return None
        # What is decompressed may come without waiting: others have their turn between.
        await asyncio.sleep(0)
        message = await self._receive()
        if message["type"] != "http.request":
            raise MalformedRequest("The body breaks off.")
        self._more = message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece


class _Whole:
    """A body that is a file. Not a generator, for nobody would see to its end."""

    def __init__(self, body: _Body) -> None:
        self._body = body
        self._is_empty = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while (piece := await self._body.read()) is not None:
            if piece:
                self._is_empty = False
                return piece
        if self._is_empty:
            raise field_error("", "empty", "The file is empty.")
        raise StopAsyncIteration


class _OfForm:
    """The file in a form."""

    def __init__(self, body: _Body, form: "_Form") -> None:
        self._body = body
        self._form = form
        self._pieces: deque[bytes] = deque()

    async def head(self) -> tuple[str, str]:
        """The file's name and media type, once it has begun."""
        while self._form.head is None:
            if not await self._advance():
                raise field_error(POINTER, "missing", f"Send a part named {PART}.")
        return self._form.head

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if not await self._advance():
                raise StopAsyncIteration
        return self._pieces.popleft()

    async def _advance(self) -> bool:
        """Whether there may be more."""
        data = await self._body.read()
        if data is None:
            self._form.check_end()
            return False
        self._pieces.extend(self._form.feed(data))
        return True


class _Form:
    """Reads a form, of which the one part is a file."""

    def __init__(self, boundary: bytes) -> None:
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
        if self.head is not None and self._is_empty:
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
        name = _file_name(disposition)
        if name is None:
            raise field_error(POINTER, "file_name", "Send a file, with its name.")
        self.head = name, self._headers.get("content-type", "")

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


def _file_name(disposition: str) -> str | None:
    """Without the folders and what cannot be seen; of a very long one the end, which tells what it is."""
    given = _FOLDERS.sub("", _parameter(disposition, b"filename") or "")
    seen = "".join(each for each in unicodedata.normalize("NFC", given) if unicodedata.category(each)[0] != "C")
    name = seen.strip()[-LONGEST_NAME:].strip()
    return None if name in ("", ".", "..") else name


def _malformed(pointer: str, code: str, detail: str) -> MalformedRequest:
    return MalformedRequest(detail, errors=(FieldError(pointer, code, detail),))
