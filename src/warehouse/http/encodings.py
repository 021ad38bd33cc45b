"""Content codings (RFC 9110, 8.4): which of them an answer has, and how it comes to have it."""

import re
import zlib
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import zstandard

from warehouse.errors import NotAcceptable

MIN_SIZE = 500
"""Bytes. A smaller body fits into one packet either way."""

# Of products, 3 is the knee of both. Zstd: 62 ms for the catalogue's 51 MB, which become 4.0 (level 1: 49 ms, 4.5 MB;
# 6: 249 ms, 3.3 MB). Gzip: 2.2 ms for a page of 1,000, 561 kB, which become 67 (1: 2.0 ms, 72 kB; 6: 4.6 ms, 58 kB).
_ZSTD_LEVEL = 3
GZIP_LEVEL = 3
_GZIP_FORMAT = 31
"""What zlib calls `wbits`."""

_LONGEST = 1000
_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class Encoding(StrEnum):
    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


_BEST_FIRST = (Encoding.ZSTD, Encoding.GZIP, Encoding.IDENTITY)
_ALIASES = {"x-gzip": "gzip"}


def negotiate(accept_encoding: str | None) -> Encoding:
    """The coding that the client likes best (RFC 9110, 12.5.3), of equals the smallest; identity where it names none.

    Identity is refused by name alone, not by `*;q=0`. An absurdly long header counts as none.
    Raises `NotAcceptable` where identity is refused and nothing else accepted.
    """
    if not accept_encoding or len(accept_encoding) > _LONGEST:
        return Encoding.IDENTITY
    preferred = _preferred(accept_encoding)
    if preferred is None:
        raise NotAcceptable("Accept zstd or gzip, or do not refuse identity.")
    return preferred


def refuses_identity(accept_encoding: str | None) -> bool:
    if not accept_encoding or len(accept_encoding) > _LONGEST:
        return False
    return _weights(accept_encoding).get(Encoding.IDENTITY) == 0


@lru_cache(maxsize=256)
def _preferred(header: str) -> Encoding | None:
    weights = _weights(header)
    others = weights.get("*", 0)
    best = max(_BEST_FIRST, key=lambda encoding: weights.get(encoding, others))
    if weights.get(best, others) > 0:
        return best
    return None if weights.get(Encoding.IDENTITY) == 0 else Encoding.IDENTITY


@lru_cache(maxsize=256)
def _weights(header: str) -> Mapping[str, float]:
    """By coding. One that is named twice has the lower weight, so that no refusal goes unheard."""
    weights: dict[str, float] = {}
    for element in header.lower().split(","):
        name, _, parameter = element.partition(";")
        coding, weight = name.strip(" \t"), _weight(parameter.strip(" \t"))
        if weight is None and coding == Encoding.IDENTITY:
            # Garbage must not turn into a refusal of every answer.
            continue
        coding = _ALIASES.get(coding, coding)
        weights[coding] = min(weight or 0, weights.get(coding, 1))
    return weights


def _weight(parameter: str) -> float | None:
    """None for what is no weight."""
    if not parameter:
        return 1
    weight = _WEIGHT.fullmatch(parameter)
    return float(weight[1]) if weight else None


def encoded_etag(etag: str, encoding: Encoding) -> str:
    """The tag of the encoded representation, which must differ from that of the plain one (RFC 9110, 8.8.3.3)."""
    if encoding is Encoding.IDENTITY or not etag.endswith('"'):
        return etag
    return f'{etag[:-1]}-{encoding}"'


def compress(body: bytes, encoding: Encoding) -> bytes:
    """The whole body at once; the same bytes each time."""
    match encoding:
        case Encoding.ZSTD:
            # A compressor of its own: one that threads share crashes the process.
            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
        case Encoding.GZIP:
            return zlib.compress(body, GZIP_LEVEL, _GZIP_FORMAT)
        case Encoding.IDENTITY:
            return body


class _Stream(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class StreamCompressor:
    """Compresses a body piece by piece; the client can decode each as soon as it has it."""

    def __init__(self, encoding: Encoding) -> None:
        """Gzip, unless it is zstd."""
        self._stream: _Stream
        if encoding is Encoding.ZSTD:
            self._stream = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
            self._flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        else:
            self._stream = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_FORMAT)
            self._flush = zlib.Z_SYNC_FLUSH

    def piece(self, content: bytes) -> bytes:
        return self._stream.compress(content) + self._stream.flush(self._flush) if content else b""

    def last(self, content: bytes) -> bytes:
        return self._stream.compress(content) + self._stream.flush()
