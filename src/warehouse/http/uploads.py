"""Files that clients send, read piece by piece: the one part of a form, or the whole body."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from warehouse.errors import MalformedRequest, UnsupportedMediaType, field_error
from warehouse.http.forms import FORM, FileForm, file_name

RAW = (
    "text/csv",
    "application/x-ndjson",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/octet-stream",
)
LONGEST_HEADER = 1000
"""Characters that are looked at of a header of the request: to read one takes longer than its length."""


@dataclass(frozen=True, slots=True)
class Upload:
    """`file_name` is a bare name, None for a body that came without; `media_type` is what the client says it is, bare
    and in lower case, empty where it does not. The bytes come as the client sends them, in pieces of some hundred
    kilobytes at most."""

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
    content_type, options = parse_options_header(_header(request, "content-type"))
    media_type = content_type.decode("latin-1")
    if media_type in RAW:
        name = file_name(_header(request, "content-disposition"))
        return Upload(name, media_type, _Whole(_Body(request.receive)))
    if media_type != FORM:
        raise UnsupportedMediaType(f"Send the file as {FORM}, or as a body of {', '.join(RAW[:-1])} or {RAW[-1]}.")
    chunks = _OfForm(_Body(request.receive), FileForm(options.get(b"boundary", b"")))
    name, media_type = await chunks.head()
    return Upload(name, media_type, chunks)


def _header(request: Request, name: str) -> str:
    return request.headers.get(name, "")[:LONGEST_HEADER]


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

    def __init__(self, body: _Body, form: FileForm) -> None:
        self._body = body
        self._form = form
        self._pieces: deque[bytes] = deque()

    async def head(self) -> tuple[str, str]:
        """The file's name and media type, once it has begun."""
        while self._form.head is None:
            await self._advance()
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
