"""Files that are sent piece by piece (RFC 9110, RFC 6266)."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from warehouse.http.conditional import matches
from warehouse.http.headers import fields_of
from warehouse.http.ranges import byte_range
from warehouse.http.streaming import close, while_heard

Source = Callable[[int], AsyncIterator[bytes]]
"""Gives a file's bytes from an offset on, in pieces of bounded size."""

_NOT_QUOTED = re.compile(r'[^\x20-\x7e]|["\\%]')
_UNRESERVED = "!#$&+-.^_`|~"


def download(request: Request, source: Source, *, media_type: str, file_name: str, size: int, etag: str) -> Response:
    """A file of `size` bytes, or the range of it that is asked for; 304 where the client has it. `etag` is a strong
    tag, with its quotes. The endpoint is to be marked by `@sends_file`; the source is closed in any case.

    Whoever accepts an encoding gets the whole encoded, and ranges as they are, as with every other answer.
    """
    fields = fields_of(request.scope)
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", "ETag": etag}
    if matches(fields.get(b"if-none-match", b"").decode("latin-1"), etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = disposition(file_name)
    wanted = _wanted(fields, etag, size)
    if wanted is None:
        return _File(source(0), range(size), 200, headers, media_type)
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    return _File(source(wanted.start), wanted, 206, headers, media_type)


def disposition(file_name: str) -> str:
    """To be kept under this name: also as ASCII, for clients that know nothing else (RFC 6266, 4.3 and appendix D)."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode()
    quoted = f'attachment; filename="{_NOT_QUOTED.sub("_", plain)}"'
    if _NOT_QUOTED.search(file_name) is None:
        return quoted
    return f"{quoted}; filename*=UTF-8''{quote(file_name, safe=_UNRESERVED)}"


def _wanted(fields: Mapping[bytes, bytes], etag: str, size: int) -> range | None:
    """The range asked for, unless it is one of another representation."""
    if fields.get(b"if-range", b"").decode("latin-1").strip() not in ("", etag):
        return None
    return byte_range(fields.get(b"range", b"").decode("latin-1"), size)


class _File(Response):
    def __init__(
        self, pieces: AsyncIterator[bytes], part: range, status: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        # Not the base class's own, which wants the whole body.
        self.status_code = status
        self.media_type = media_type
        self.background = None
        self.init_headers({**headers, "Content-Length": str(len(part))})
        self._pieces = pieces
        self._left = len(part)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await while_heard(self._send(send), receive)

    async def _send(self, send: Send) -> None:
        try:
            while self._left:
                piece = (await self._next())[: self._left]
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                # That the client has left is noticed meanwhile, even where nothing waits.
                await asyncio.sleep(0)
        finally:
            await close(self._pieces)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> bytes:
        async for piece in self._pieces:
            return piece
        # Nobody is to take the half for the whole: the server cuts the connection.
        raise RuntimeError(f"A file ends {self._left} bytes too soon.")
