"""Identifiers are made by the service, so that no backend needs auto-increment."""

import hashlib
import os
import time
from uuid import UUID

_RANDOM_BITS = (1 << 62) - 1
_SEPARATOR = "\x1f"


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, 12 bits of sub-millisecond time, 62 random bits."""
    now = time.time_ns()
    milliseconds, rest = divmod(now, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) & _RANDOM_BITS
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def stable_id(*parts: str) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) out of SHA-256 of the parts: the same parts always give the same id.

    Raises `ValueError` for a part with U+001F in it, which stands between the parts.
    """
    text = _SEPARATOR.join(parts)
    if text.count(_SEPARATOR) != len(parts) - 1:
        raise ValueError("a part of a stable id holds the separator")
    digest = hashlib.sha256(text.encode()).digest()
    number = int.from_bytes(digest[:16])
    number = number & ~(0xF << 76) | 8 << 76
    return UUID(int=number & ~(0x3 << 62) | 2 << 62)
