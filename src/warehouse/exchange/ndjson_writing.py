"""Tables as NDJSON: each row is the object that it is on the wire."""

from collections.abc import Sequence


class NdjsonWriter:
    def begin(self) -> bytes:
        return b""

    def write(self, rows: Sequence[str]) -> bytes:
        return "".join([f"{row}\n" for row in rows]).encode()

    def end(self) -> bytes:
        return b""
