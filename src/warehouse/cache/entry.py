"""An answer as it is kept: with everything that goes out, and with the generations under which it counts.

Layout: `HEAD` (CRC-32 of all that follows it, lengths), the generations, a description in JSON, the bodies.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

HEAD = struct.Struct("<IHI")
GENERATION_BYTES = 16


class Garbage(Exception):
    """Bytes that no `encode` has made."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`headers` are all that do not depend on the encoding; `etag` is quoted, and that of the plain body. `forms` holds
    the body by content coding, "identity" always among them where there is one. `cost` is the seconds its making took.
    One that is `timed` holds up to a certain time only, with nothing written meanwhile.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    etag: str
    forms: Mapping[str, bytes]
    cost: float = 0.0
    timed: bool = False
    answers: dict[Any, Any] = field(default_factory=dict, compare=False)
    """What its sender has made of it, for the next time."""


def encode(entry: Entry, generations: Sequence[bytes]) -> bytes:
    described = [
        entry.status,
        entry.headers,
        entry.etag,
        entry.cost,
        entry.timed,
        [(name, len(body)) for name, body in entry.forms.items()],
    ]
    description = orjson.dumps(described)
    rest = b"".join((*generations, description, *entry.forms.values()))
    lengths = HEAD.pack(0, len(generations), len(description))[4:]
    return struct.pack("<I", zlib.crc32(rest, zlib.crc32(lengths))) + lengths + rest


def decode(value: bytes, generations: Sequence[bytes]) -> Entry | None:
    """None where the value counts no more, as it was made under other generations. Raises `Garbage`."""
    if len(value) < HEAD.size:
        raise Garbage
    checksum, count, length = HEAD.unpack_from(value)
    if zlib.crc32(memoryview(value)[4:]) != checksum:
        raise Garbage
    start = HEAD.size + count * GENERATION_BYTES
    if value[HEAD.size : start] != b"".join(generations):
        return None
    try:
        status, headers, etag, cost, timed, lengths = _described(value[start : start + length])
        forms: dict[str, bytes] = {}
        position = start + length
        for name, size in lengths:
            forms[name] = value[position : position + size]
            position += size
        return Entry(status, [(name, text) for name, text in headers], etag, forms, cost, timed)
    except (TypeError, ValueError) as error:
        raise Garbage from error


def _described(description: bytes) -> Any:
    try:
        return orjson.loads(description)
    except orjson.JSONDecodeError as error:
        raise Garbage from error
