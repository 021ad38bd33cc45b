"""Identifiers are made by the service, so that no backend needs auto-increment."""

import os
import time
from hashlib import sha256
from uuid import UUID, SafeUUID

_RANDOM_BITS = (1 << 62) - 1
_HASH_BITS = (1 << 128) - 1 & ~(0xF << 76) & ~(0x3 << 62)
_VERSION_8 = 8 << 76 | 2 << 62
_IS_SAFE = SafeUUID.unknown
_new, _set = object.__new__, object.__setattr__
_SEPARATOR = "\x1f"


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, 12 bits of sub-millisecond time, 62 random bits."""
    now = time.time_ns()
    milliseconds, rest = divmod(now, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) & _RANDOM_BITS
    return _uuid((milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def stable_id(*parts: str) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) out of SHA-256 of the parts: the same parts always give the same id.

    Raises `ValueError` for a part with U+001F in it, which stands between the parts.
    """
    text = _SEPARATOR.join(parts)
    if text.count(_SEPARATOR) != len(parts) - 1:
        raise ValueError("a part of a stable id holds the separator")
    number = int.from_bytes(sha256(text.encode()).digest()[:16]) & _HASH_BITS | _VERSION_8
    return _uuid(number)


def _uuid(number: int) -> UUID:
    """`UUID(int=number)` in less than half the time, which a million rows notice."""
    made = _new(UUID)
    _set(made, "int", number)
    _set(made, "is_safe", _IS_SAFE)
    return made
