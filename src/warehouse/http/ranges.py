"""Byte ranges (RFC 9110, 14): the rest of a body whose beginning the client has."""

import re

_ONE_RANGE = re.compile(r"[Bb]ytes=([0-9]{0,18})-([0-9]{0,18})")


def byte_range(field: str, size: int) -> range | None:
    """The bytes asked for of so many; None where the field is to be ignored, as it may be where it asks for what there
    is not, or for several ranges."""
    found = _ONE_RANGE.fullmatch(field.replace(" ", ""))
    if found is None or found[0].endswith("=-"):
        return None
    first, last = found[1], found[2]
    if first:
        wanted = range(int(first), min(size, int(last) + 1) if last else size)
    else:
        wanted = range(max(0, size - int(last)), size)
    return wanted or None
