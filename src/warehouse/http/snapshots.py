"""The whole catalogue as one answer, put together from segments that are kept encoded."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from warehouse.cache.entry import Entry
from warehouse.cache.reading import Result
from warehouse.cache.segments import Parts, PartsReading, SegmentCache
from warehouse.cache.tags import SEGMENTS
from warehouse.catalogue.service import CatalogueService
from warehouse.catalogue.snapshot import FORMS, SnapshotForm
from warehouse.errors import Unavailable
from warehouse.http.access import is_unconfirmed
from warehouse.http.caching import asks_anew, shown, stale_seconds
from warehouse.http.conditional import matches
from warehouse.http.encodings import Encoding, encoded_etag, negotiate
from warehouse.http.frames import Frame, frame, joined
from warehouse.http.headers import fields_of
from warehouse.http.media_types import preferred
from warehouse.http.ranges import byte_range

CHECKSUM, SIZE = "checksum", "size"
"""What is kept of a segment as it was before it was encoded."""


@dataclass(frozen=True, slots=True)
class _Whole:
    etag: str
    body: bytes


class Snapshots:
    """Without a cache each answer is made anew."""

    def __init__(self, catalogue: CatalogueService, cache: SegmentCache | None) -> None:
        self._catalogue = catalogue
        self._cache = cache
        self._wholes: WeakKeyDictionary[Parts, _Whole] = WeakKeyDictionary()

    async def answer(self, request: Request) -> Response:
        """In the media type and the coding that the client likes best; 304 where it has that already, and only the rest
        where that is what it asks for. Raises `NotAcceptable`."""
        fields = fields_of(request.scope)
        form = FORMS[preferred(fields.get(b"accept", b"").decode("latin-1"), list(FORMS))]
        encoding = negotiate(fields.get(b"accept-encoding", b"").decode("latin-1"))
        reading = await self._read(form, encoding, request.scope)
        whole = self._whole(reading.parts, form, encoding)
        etag = encoded_etag(whole.etag, encoding)
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Cache-Status": shown(reading.result),
            "ETag": etag,
            "Vary": "Accept, Accept-Encoding",
        }
        if matches(fields.get(b"if-none-match", b"").decode("latin-1"), whole.etag):
            return Response(status_code=304, headers=headers)
        if encoding is not Encoding.IDENTITY:
            headers["Content-Encoding"] = encoding
        return _answer(whole.body, form.media_type, headers, _wanted(fields, etag, len(whole.body)))

    async def _read(self, form: SnapshotForm, encoding: Encoding, scope: Scope) -> PartsReading:
        fields, key = fields_of(scope), f"snapshot:{form.media_type}:{encoding}"
        try:
            if is_unconfirmed(scope):
                raise Unavailable("The database does not answer.")
            return await self._newest(key, form, encoding, fields)
        except Unavailable:
            seconds = stale_seconds(fields)
            last = await self._cache.last(key, seconds) if self._cache is not None and seconds > 0 else None
            if last is None:
                raise
            return last

    async def _newest(
        self, key: str, form: SnapshotForm, encoding: Encoding, fields: Mapping[bytes, bytes]
    ) -> PartsReading:
        async def load(numbers: Sequence[int]) -> Sequence[Entry]:
            segments = await self._catalogue.snapshot_segments(numbers)
            rows = [segments.get(number, ()) for number in numbers]
            return await asyncio.to_thread(_encoded, rows, form, encoding)

        if asks_anew(fields):
            return PartsReading(Parts(await load(range(SEGMENTS))), Result.REQUEST)
        if self._cache is None:
            return PartsReading(Parts(await load(range(SEGMENTS))), Result.BYPASS)
        return await self._cache.read(key, load)

    def _whole(self, parts: Parts, form: SnapshotForm, encoding: Encoding) -> _Whole:
        """Put together once for as long as nothing changes."""
        whole = self._wholes.get(parts)
        if whole is None:
            whole = self._wholes[parts] = _put_together(parts, form, encoding)
        return whole


def _encoded(segments: Sequence[Sequence[str]], form: SnapshotForm, encoding: Encoding) -> list[Entry]:
    return [_entry(form.segment(rows), encoding) for rows in segments]


def _entry(plain: bytes, encoding: Encoding) -> Entry:
    made = frame(plain, encoding)
    etag = hashlib.blake2b(plain, digest_size=16).hexdigest()
    return Entry(200, ((CHECKSUM, str(made.checksum)), (SIZE, str(made.size))), etag, {encoding: made.body})


def _put_together(parts: Parts, form: SnapshotForm, encoding: Encoding) -> _Whole:
    digest = hashlib.blake2b(form.media_type.encode(), digest_size=12)
    for entry in parts.entries:
        digest.update(entry.etag.encode())
    frames = [_frame(entry, encoding) for entry in parts.entries]
    pieces = form.pieces([each for each in frames if each.size], partial(_constant, encoding=encoding))
    return _Whole(f'"{digest.hexdigest()}"', joined(pieces, encoding))


_constant = lru_cache(maxsize=64)(frame)


def _frame(entry: Entry, encoding: Encoding) -> Frame:
    kept = dict(entry.headers)
    return Frame(entry.forms[encoding], int(kept[SIZE]), int(kept[CHECKSUM]))


def _wanted(fields: Mapping[bytes, bytes], etag: str, size: int) -> range | None:
    """The range asked for, unless it is one of another representation."""
    if fields.get(b"if-range", b"").decode("latin-1").strip() not in ("", etag):
        return None
    return byte_range(fields.get(b"range", b"").decode("latin-1"), size)


def _answer(body: bytes, media_type: str, headers: dict[str, str], wanted: range | None) -> Response:
    if wanted is None:
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(body)}"
    return Response(body[wanted.start : wanted.stop], 206, headers, media_type)
