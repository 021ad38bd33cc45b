"""Bodies that are encoded in pieces, each by itself, and put together without being encoded again.

Frames of zstd may follow each other (RFC 8878, 3.1). Members of gzip may too (RFC 1952, 2.2), but some clients stop
after the first, browsers among them: so here the pieces are blocks of deflate in a single member, whose checksum is
computed from those of the pieces.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from warehouse.http.encodings import GZIP_LEVEL, Encoding, compress

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, no system."""
LAST_BLOCK = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded piece. `size` and `checksum` (CRC-32) are those of the piece as it was."""

    body: bytes
    size: int
    checksum: int


def frame(piece: bytes, encoding: Encoding) -> Frame:
    """The same bytes for the same piece each time."""
    return Frame(
        _deflated(piece) if encoding is Encoding.GZIP else compress(piece, encoding), len(piece), zlib.crc32(piece)
    )


def joined(frames: Iterable[Frame], encoding: Encoding) -> bytes:
    """One body in this encoding."""
    if encoding is not Encoding.GZIP:
        return b"".join([each.body for each in frames])
    size = checksum = 0
    bodies = [GZIP_HEAD]
    for each in frames:
        bodies.append(each.body)
        size += each.size
        checksum = combined(checksum, each.checksum, each.size)
    return b"".join((*bodies, LAST_BLOCK, struct.pack("<II", checksum, size & 0xFFFFFFFF)))


def _deflated(piece: bytes) -> bytes:
    """Whole blocks that end on a byte, and refer to nothing before them."""
    if not piece:
        return b""
    stream = zlib.compressobj(GZIP_LEVEL, wbits=-15)
    return stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH)


def combined(first: int, second: int, size: int) -> int:
    """The CRC-32 of two pieces, one behind the other, from that of each and the size of the second.

    The first is the remainder of a polynomial over GF(2), reflected; it is moved up by `size` bytes. After Mark Adler's
    crc32_combine in zlib.
    """
    return _product(_power_of_x(8 * size), first) ^ second


POLYNOMIAL = 0xEDB88320
ONE = 1 << 31


def _product(one: int, other: int) -> int:
    """Modulo the polynomial of CRC-32."""
    product, bit = 0, ONE
    while bit:
        if one & bit:
            product ^= other
        other = (other >> 1) ^ POLYNOMIAL if other & 1 else other >> 1
        bit >>= 1
    return product


@lru_cache(maxsize=1024)
def _power_of_x(exponent: int) -> int:
    """By repeated squaring."""
    power, square = ONE, ONE >> 1
    while exponent:
        if exponent & 1:
            power = _product(square, power)
        square = _product(square, square)
        exponent >>= 1
    return power
