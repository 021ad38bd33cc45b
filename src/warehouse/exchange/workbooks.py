"""The parts of an XLSX workbook (ECMA-376): a ZIP of XML files, each read once, in pieces and within limits."""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from warehouse.errors import FieldError, Invalid
from warehouse.exchange.tables import ReadingLimits, invalid, too_large
from warehouse.exchange.xml_parts import Attributes, Start, XmlPart

ZIP = b"PK\x03\x04"
PIECE = 64 * 1024
LARGEST_DIRECTORY = 1024**2
"""Bytes of a ZIP's table of contents: more than 10,000 files."""
LARGEST_INDEX = 16 * 1024**2
"""Bytes of a part that is kept in memory: the lists of sheets, parts and styles."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_BUILT_IN_DATES = frozenset((*range(14, 23), *range(27, 37), *range(50, 59)))
_NOT_CODES = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[[hms]+\]", re.IGNORECASE)
_DATE_CODES = re.compile(r"[dmyhs]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    name: str
    part: str
    is_hidden: bool


class Workbook:
    """Raises `Invalid` for what is no workbook, `TooLarge` beyond the limits, here and in every method."""

    def __init__(self, stream: BinaryIO, limits: ReadingLimits) -> None:
        self._limits = limits
        self._zip = _opened(stream)
        self._parts = {info.filename.lower().lstrip("/"): info for info in self._zip.infolist()}
        self._left = limits.bytes
        if sum(info.file_size for info in self._parts.values()) > limits.bytes:
            raise self._bomb()
        self._main = self._find_main()
        self._related = self._relations(_relations_of(self._main))
        self.sheets: list[Sheet] = []
        self.counts_from_1904 = False
        self._read_main()

    def sheet(self, name: str | None) -> Sheet:
        """The one of this name, by default the first that is not hidden."""
        if name is not None:
            found = next((sheet for sheet in self.sheets if sheet.name.casefold() == name.casefold()), None)
        else:
            found = next((sheet for sheet in self.sheets if not sheet.is_hidden), None)
        if found is None:
            names = ", ".join(repr(sheet.name[:64]) for sheet in self.sheets[:20]) or "none"
            detail = f"There is no such sheet. The workbook's sheets are: {names}."
            raise Invalid(detail, errors=[FieldError("/sheet", "unknown_sheet", detail)])
        return found

    def date_styles(self) -> list[bool]:
        """Whether each cell style, by its number, shows a date."""
        formats: dict[str, str] = {}
        styles: list[bool] = []
        within = ""

        def enter(container: str) -> Start:
            def entered(_: Attributes) -> None:
                nonlocal within
                within = container

            return entered

        def number_format(attributes: Attributes) -> None:
            if within == "numFmts":
                formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")

        def style(attributes: Attributes) -> None:
            if within == "cellXfs":
                number = attributes.get("numFmtId", "0")
                styles.append(_shows_date(number, formats.get(number)))

        containers = {name: enter(name) for name in ("numFmts", "cellStyleXfs", "cellXfs", "dxfs")}
        if part := self.part("styles"):
            self._index(part, {**containers, "numFmt": number_format, "xf": style})
        return styles

    def part(self, kind: str) -> str | None:
        """The workbook's part of this kind, as `sharedStrings`; None without one."""
        found = next((path for name, path in self._related.values() if name == kind), None)
        return found if found in self._parts else None

    def pieces(self, part: str) -> Iterator[bytes]:
        """The bytes of a part, and an empty piece at its end."""
        info = self._parts[part]
        if info.flag_bits & _ENCRYPTED:
            raise _encrypted()
        if info.compress_type not in _METHODS:
            raise _no_workbook("it is packed in a way that no workbook is")
        try:
            with self._zip.open(info) as file:
                while piece := file.read(PIECE):
                    self._left -= len(piece)
                    if self._left < 0:
                        raise self._bomb()
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise invalid("damaged", f"The workbook is damaged: {error}.") from error
        yield b""

    def _find_main(self) -> str:
        found = [path for kind, path in self._relations(_relations_of("")).values() if kind == "officeDocument"]
        if not found or found[0] not in self._parts:
            raise _no_workbook("it is another kind of ZIP file")
        if found[0].endswith(".bin"):
            raise invalid("not_a_workbook", "Binary workbooks (.xlsb) are not read: save it as .xlsx.")
        return found[0]

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """By id: the kind, and the part that stands in it."""
        found: dict[str, tuple[str, str]] = {}
        folder = "/" + posixpath.dirname(posixpath.dirname(part))

        def relation(attributes: Attributes) -> None:
            kind = attributes.get("Type", "").rpartition("/")[2]
            path = posixpath.normpath(posixpath.join(folder, attributes.get("Target", "")))
            found[attributes.get("Id", "")] = kind, path.lower().lstrip("/")

        if part in self._parts:
            self._index(part, {"Relationship": relation})
        return found

    def _read_main(self) -> None:
        def properties(attributes: Attributes) -> None:
            self.counts_from_1904 = attributes.get("date1904") in ("1", "true")

        def sheet(attributes: Attributes) -> None:
            identifier = next((value for name, value in attributes.items() if name.endswith(" id")), "")
            kind, path = self._related.get(identifier, ("", ""))
            if kind == "worksheet" and path in self._parts:
                hidden = attributes.get("state", "visible") != "visible"
                self.sheets.append(Sheet(attributes.get("name", ""), path, hidden))

        self._index(self._main, {"workbookPr": properties, "sheet": sheet})
        if not self.sheets:
            raise _no_workbook("it has no sheet of cells")

    def _index(self, part: str, starts: Mapping[str, Start]) -> None:
        xml, size = XmlPart(self._limits.record, starts, {}), 0
        for piece in self.pieces(part):
            size += len(piece)
            if size > LARGEST_INDEX:
                raise too_large(f"The workbook's list {part[:64]} has more than {LARGEST_INDEX} bytes.")
            xml.feed(piece)

    def _bomb(self) -> Exception:
        return too_large(f"The workbook unpacks to more than {self._limits.bytes} bytes; split it.")


class _Directory:
    """A stream that a ZIP's table of contents is read from, and nothing in larger pieces than that may have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_DIRECTORY:
            raise too_large(f"The workbook's table of contents has more than {LARGEST_DIRECTORY} bytes.")
        return self._stream.read(size)


def _opened(stream: BinaryIO) -> zipfile.ZipFile:
    start = stream.tell()
    magic = stream.read(len(_OLE))
    if magic == _OLE:
        raise _ole(stream, start)
    if not magic.startswith(ZIP):
        raise _no_workbook("it is no ZIP file")
    try:
        return zipfile.ZipFile(_Directory(stream))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise invalid("damaged", f"The workbook is damaged: {error}.") from error


def _ole(stream: BinaryIO, start: int) -> Invalid:
    """What Excel encrypts it puts into the container of its old format (MS-CFB): the directory tells which it is."""
    header = stream.read(512 - len(_OLE))
    shift = int.from_bytes(header[22:24], "little")
    sector = int.from_bytes(header[40:44], "little")
    stream.seek(start + ((sector + 1) << min(shift, 12)))
    if "EncryptedPackage".encode("utf-16-le") in stream.read(4096):
        return _encrypted()
    return invalid("not_a_workbook", "Workbooks of Excel 97 to 2003 (.xls) are not read: save it as .xlsx.")


def _encrypted() -> Invalid:
    return invalid("encrypted", "The workbook is protected by a password: save it without one.")


def _no_workbook(why: str) -> Invalid:
    return invalid("not_a_workbook", f"The file is no XLSX workbook: {why}.")


def _relations_of(part: str) -> str:
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels").lower()


def _shows_date(number: str, code: str | None) -> bool:
    """Elapsed time, as `[h]:mm`, is no date."""
    if code is None:
        return number.isdecimal() and int(number[:6]) in _BUILT_IN_DATES
    bare = _NOT_CODES.sub("", code.partition(";")[0])
    return _DATE_CODES.search(bare) is not None and _ELAPSED.search(bare) is None
