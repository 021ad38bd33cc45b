"""For libraries that write files: what they write is taken from here at once, and nothing is kept."""

import io

from typing_extensions import Buffer


class Outbox(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        piece = bytes(data)
        self._written.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """What has been written since it was last asked."""
        taken, self._written = b"".join(self._written), []
        return taken
