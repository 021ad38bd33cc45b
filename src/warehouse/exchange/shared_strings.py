"""The texts that a workbook's cells share."""

import re
from array import array
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from tempfile import TemporaryFile
from typing import IO

from warehouse.exchange.tables import ReadingLimits, too_large
from warehouse.exchange.xml_parts import XmlPart

_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")


class SharedStrings:
    """Kept in a file that vanishes with the object: there may be millions of them."""

    def __init__(self) -> None:
        self._ends = array("Q", [0])
        self._texts: mmap | None = None

    def fill(self, pieces: Iterable[bytes], limits: ReadingLimits) -> None:
        """From the XML of their part. Raises as `XmlPart` does, and `TooLarge` for too many of them."""
        with TemporaryFile() as file:
            self._write(pieces, limits, file)
            file.flush()
            if self._ends[-1]:
                self._texts = mmap(file.fileno(), 0, access=ACCESS_READ)

    def __getitem__(self, number: int) -> str:
        """Raises `IndexError` where there is no such text."""
        end = self._ends[number + 1]
        texts = self._texts[self._ends[number] : end] if self._texts else b""
        return texts.decode(errors="surrogatepass")

    def close(self) -> None:
        if self._texts:
            self._texts.close()

    def _write(self, pieces: Iterable[bytes], limits: ReadingLimits, file: IO[bytes]) -> None:
        def add() -> None:
            xml.end_item()
            if len(self._ends) > limits.strings:
                raise too_large(f"The workbook has more than {limits.strings} different texts.")
            text = unescaped(xml.take_text() or "").encode(errors="surrogatepass")
            file.write(text)
            self._ends.append(self._ends[-1] + len(text))

        xml = XmlPart(limits.record, {"si": lambda _: xml.begin_item()}, {"si": add})
        for piece in pieces:
            xml.feed(piece)


def unescaped(text: str) -> str:
    """What XML cannot hold a workbook writes as `_x001F_`."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
