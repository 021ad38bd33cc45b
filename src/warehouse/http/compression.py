"""Answers in the coding that the client likes best."""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import NotAcceptable
from warehouse.http.encodings import (
    Encoding,
    StreamCompressor,
    compress,
    encoded_etag,
    negotiate,
    refuses_identity,
)
from warehouse.http.headers import Fields, all_of
from warehouse.http.problems import problem_for

LARGE = 256 * 1024
"""Bytes that take long enough to be compressed in a thread: below, a millisecond at most."""

_NO_CONTENT = frozenset({204, 304})
_SAFE = frozenset({"GET", "HEAD"})

_DECISIVE = frozenset({b"cache-control", b"content-encoding", b"content-range", b"content-type"})
_COMPRESSED_TREES = (
    *("image/", "audio/", "video/", "font/woff"),
    *("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."),
)
_COMPRESSED_SUFFIXES = ("+zip", "+gzip", "+zstd")
_COMPRESSED = frozenset(
    f"application/{name}"
    for name in (
        *("gzip", "x-gzip", "zstd", "zip", "x-zip-compressed", "x-7z-compressed", "x-bzip2", "x-xz", "vnd.rar"),
        *("vnd.apache.parquet", "x-parquet", "java-archive", "ogg"),
    )
)


class CompressionMiddleware:
    """Compresses what gains by it, with zstd or gzip, and says that the answer depends on Accept-Encoding.

    What is only a part, is compressed already, comes event by event or is smaller than `min_size` goes out as it is,
    the last not where the client refuses identity. It stands inside of whatever keeps answers.
    """

    def __init__(self, app: ASGIApp, min_size: int) -> None:
        self._app = app
        self._min_size = min_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        accepted = all_of(b"accept-encoding", scope["headers"])
        try:
            encoding = negotiate(accepted)
        except NotAcceptable as refusal:
            return await self._refuse(refusal, scope, receive, send)
        min_size = 1 if refuses_identity(accepted) else self._min_size
        return await self._app(scope, receive, _Answer(scope["headers"], encoding, min_size, send).send)

    async def _refuse(self, refusal: NotAcceptable, scope: Scope, receive: Receive, send: Send) -> None:
        """Before anything is done, or in place of what was read; an error is told all the same."""
        answer = problem_for(refusal, scope)
        if scope["method"] not in _SAFE:
            return await answer(scope, receive, send)
        refused = False

        async def replacing(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and not _is_bare(message["status"]):
                refused = True
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        return await self._app(scope, receive, replacing)


class _Answer:
    """An answer on its way out. Its start waits for the first piece of the body, which tells how large it is."""

    def __init__(self, request: Fields, encoding: Encoding, min_size: int, send: Send) -> None:
        self._request = request
        self._encoding = encoding
        self._min_size = min_size
        self._send = send
        self._start: Message | None = None
        self._stream: StreamCompressor | None = None

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                await self._begin(message)
            case "http.response.body" if self._start is not None:
                await self._first(self._start, message)
            case "http.response.body" if self._stream is not None:
                await self._next(self._stream, message)
            case _:
                await self._pass_on(message)

    async def _begin(self, message: Message) -> None:
        # A copy: the list may be that of an answer that is kept and sent again.
        raw = [*message.get("headers", ())]
        self._start = {**message, "headers": raw}
        status = message["status"]
        varies, encodable = _treatment(status, tuple([each for each in raw if each[0] in _DECISIVE]))
        if status == 304:
            self._name_known(MutableHeaders(raw=raw))
        if varies:
            _add_vary(raw)
        if not encodable or self._encoding is Encoding.IDENTITY:
            await self._pass_on()

    async def _first(self, start: Message, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        headers = MutableHeaders(raw=start["headers"])
        if _size(body, more, headers) < self._min_size:
            return await self._pass_on(message)
        self._label(headers)
        if more:
            self._stream = StreamCompressor(self._encoding)
            del headers["Content-Length"]
            return await self._next(self._stream, message)
        encoded = await _off_loop(partial(compress, encoding=self._encoding), body)
        headers["Content-Length"] = str(len(encoded))
        return await self._pass_on({**message, "body": encoded})

    async def _next(self, stream: StreamCompressor, message: Message) -> None:
        step = stream.piece if message.get("more_body", False) else stream.last
        await self._pass_on({**message, "body": await _off_loop(step, message.get("body", b""))})

    async def _pass_on(self, message: Message | None = None) -> None:
        start, self._start = self._start, None
        for each in (start, message):
            if each is not None:
                await self._send(each)

    def _label(self, headers: MutableHeaders) -> None:
        headers["Content-Encoding"] = self._encoding
        if etag := headers.get("etag"):
            headers["ETag"] = encoded_etag(etag, self._encoding)
        # Ranges are cut from the plain body.
        del headers["Accept-Ranges"]

    def _name_known(self, headers: MutableHeaders) -> None:
        """A 304 has the tag of the representation that the client has, or its cache would not renew it."""
        encoded = encoded_etag(headers.get("etag", ""), self._encoding)
        if encoded and encoded.removeprefix("W/") in all_of(b"if-none-match", self._request):
            headers["ETag"] = encoded


def _is_bare(status: int) -> bool:
    """Whether there is no representation of which a coding could be refused: no content, or an error."""
    return status in _NO_CONTENT or status >= 400


@lru_cache(maxsize=1024)
def _treatment(status: int, decisive: tuple[tuple[bytes, bytes], ...]) -> tuple[bool, bool]:
    """Whether such answers depend on Accept-Encoding, and whether this one may be encoded if it is large enough."""
    if status == 304:
        return True, False
    coding = all_of(b"content-encoding", decisive).lower()
    control = all_of(b"cache-control", decisive).lower()
    if status == 204 or coding not in ("", Encoding.IDENTITY) or "no-transform" in control:
        return False, False
    is_partial = status == 206 or any(name == b"content-range" for name, _ in decisive)
    compressible = _is_compressible(all_of(b"content-type", decisive))
    return compressible, compressible and not is_partial


def _is_compressible(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "image/svg+xml":
        return True
    return not (
        media_type == "text/event-stream"
        or media_type in _COMPRESSED
        or media_type.startswith(_COMPRESSED_TREES)
        or media_type.endswith(_COMPRESSED_SUFFIXES)
    )


def _size(body: bytes, more: bool, headers: MutableHeaders) -> float:
    """Bytes of the whole body; endless where nothing tells."""
    return len(body) if not more else float(headers.get("content-length", "inf"))


def _add_vary(raw: list[tuple[bytes, bytes]]) -> None:
    named = all_of(b"vary", raw)
    if not named:
        raw.append((b"vary", b"Accept-Encoding"))
    elif not {"*", "accept-encoding"} & {name.strip().lower() for name in named.split(",")}:
        MutableHeaders(raw=raw)["Vary"] = f"{named}, Accept-Encoding"


async def _off_loop(step: Callable[[bytes], bytes], content: bytes) -> bytes:
    return await asyncio.to_thread(step, content) if len(content) > LARGE else step(content)
