"""The bytes of a file that may be compressed, in pieces of bounded size whatever the file claims to be."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

import zstandard

from warehouse.errors import FieldError, Invalid, TooLarge

CHUNK = 256 * 1024
LARGEST_ZSTD_WINDOW = 32 * 1024 * 1024
ZSTD_FEED = 512
"""Compressed bytes at a time: zstd turns 4 bytes into up to 128 KiB, so these become at most 16 MiB."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def decompressed(stream: BinaryIO, largest: int) -> Iterator[bytes]:
    """The content of a seekable stream from where it stands, out of gzip or zstd if it begins like one of them.

    Raises `Invalid` where the compressed data is damaged or cut off, and `TooLarge` beyond `largest` bytes.
    """
    total = 0
    for chunk in _even(_decompressor(stream)(stream)):
        total += len(chunk)
        if total > largest:
            detail = f"The file holds more than {largest} bytes; split it."
            raise TooLarge(detail, errors=[FieldError("/file", "too_long", detail)])
        yield chunk


def _decompressor(stream: BinaryIO) -> Callable[[BinaryIO], Iterator[bytes]]:
    magic = stream.read(4)
    stream.seek(-len(magic), 1)
    if magic[:2] == b"\x1f\x8b":
        return _gzip_members
    # A zstd file may also begin with a frame to be skipped (RFC 8878, 3.1.2), as those of pzstd do.
    if magic == zstandard.FRAME_HEADER or (magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5):
        return _zstd_frames
    return _plain


def _plain(stream: _Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _gzip_members(stream: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=stream) as members:
            yield from _plain(members)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged("gzip", error) from error


def _zstd_frames(stream: BinaryIO) -> Iterator[bytes]:
    # Not `stream_reader`: to that a file that was cut off looks complete.
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_ZSTD_WINDOW)
    rest = b""
    try:
        while feed := rest or stream.read(ZSTD_FEED):
            frame = decompressor.decompressobj()
            yield frame.decompress(feed)
            while not frame.eof:
                if not (feed := stream.read(ZSTD_FEED)):
                    raise zstandard.ZstdError("the file ends in the middle of a frame")
                yield frame.decompress(feed)
            rest = frame.unused_data
    except zstandard.ZstdError as error:
        raise _damaged("zstd", error) from error


def _even(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of `CHUNK`, the last one shorter."""
    pending, size = [], 0
    for piece in pieces:
        pending.append(piece)
        size += len(piece)
        if size >= CHUNK:
            joined = b"".join(pending)
            whole = size - size % CHUNK
            yield from (joined[start : start + CHUNK] for start in range(0, whole, CHUNK))
            pending, size = [joined[whole:]], size - whole
    if size:
        yield b"".join(pending)


def _damaged(kind: str, error: Exception) -> Invalid:
    detail = f"The {kind} data is damaged: {error}."
    return Invalid(detail, errors=[FieldError("/file", "damaged", detail)])
