"""The cells of a sheet (ECMA-376, 18.3.1): XML in, values out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from warehouse.errors import Invalid, TooLarge
from warehouse.exchange.shared_strings import SharedStrings, unescaped
from warehouse.exchange.tables import Flaw, invalid, too_long
from warehouse.exchange.xml_parts import Attributes, XmlPart

MOST_COLUMNS = 16_384
MOST_DIGITS = 15
"""Of a whole number with more of them a spreadsheet has lost the rest."""

Cell = str | datetime | Flaw
"""Text also of what was a number, or true or false."""
Cells = list[tuple[int, Cell]]
"""Those of a row that are not blank, each with its column, from 0."""

_DIGITS = "0123456789"
_MOST_ROW_DIGITS = 7
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 (a sheet's times have no zone)
_EPOCH_1904 = datetime(1904, 1, 1)  # noqa: DTZ001


class SheetCells:
    """`date_styles` tells of each style whether it shows dates."""

    def __init__(
        self, strings: SharedStrings, date_styles: Sequence[bool], *, counts_from_1904: bool, longest: int
    ) -> None:
        self.line = 1
        self._longest = longest
        self._strings = strings
        self._date_styles = {str(style) for style, shows_date in enumerate(date_styles) if shows_date}
        self._epoch = _EPOCH_1904 if counts_from_1904 else _EPOCH
        self._columns: dict[str, int] = {}
        self._rows: list[tuple[int, Cells]] = []
        self._cells: Cells = []
        self._cell: Attributes = {}
        self._has_formula = False
        self._column = -1
        self._size = 0
        self._readers: dict[str, Callable[[str], Cell]] = {
            "n": number,
            "s": self._shared,
            "str": unescaped,
            "inlineStr": unescaped,
            "b": _boolean,
            "e": _error,
            "d": _iso_date,
        }
        starts = {"row": self._begin_row, "c": self._begin_cell, "f": self._note_formula}
        self._xml = XmlPart(longest, starts, {"row": self._end_row, "c": self._end_cell})

    def rows(self, pieces: Iterable[bytes]) -> Iterator[tuple[int, Cells]]:
        """Row numbers and cells. Raises as `XmlPart` does, and `TooLarge` for a row of more bytes than `longest`."""
        for piece in pieces:
            try:
                self._xml.feed(piece)
            except (Invalid, TooLarge):
                yield from self._rows
                raise
            yield from self._rows
            self._rows = []

    def _begin_row(self, attributes: Attributes) -> None:
        self._xml.begin_item()
        if "r" in attributes:
            self.line = _row_number(attributes["r"])
        self._column = -1
        self._size = 0

    def _end_row(self) -> None:
        self._xml.end_item()
        self._rows.append((self.line, self._cells))
        self._cells = []
        self.line += 1

    def _begin_cell(self, attributes: Attributes) -> None:
        self._cell = attributes
        self._has_formula = False
        position = attributes.get("r")
        self._column = self._column + 1 if position is None else self._index(position)
        self._xml.take_text()

    def _note_formula(self, _: Attributes) -> None:
        self._has_formula = True

    def _end_cell(self) -> None:
        raw = self._xml.take_text()
        kind = self._cell.get("t", "n")
        if raw:
            self._cells.append((self._column, self._value(kind, raw)))
        elif self._has_formula and (raw is None or kind != "str"):
            detail = "The cell has a formula without a value: open the workbook in a spreadsheet program and save it."
            self._cells.append((self._column, Flaw("formula", detail)))

    def _value(self, kind: str, raw: str) -> Cell:
        if kind == "n" and self._cell.get("s") in self._date_styles:
            return _moment(raw, self._epoch)
        value = self._readers.get(kind, _unknown)(raw)
        if isinstance(value, str):
            self._size += len(value)
            if self._size > self._longest:
                raise too_long(self.line, self._longest)
        return value

    def _shared(self, raw: str) -> Cell:
        try:
            return self._strings[int(raw)] if raw.isdecimal() and len(raw) < MOST_DIGITS else _unknown(raw)
        except IndexError:
            return _unknown(raw)

    def _index(self, position: str) -> int:
        letters = position.rstrip(_DIGITS)
        if (index := self._columns.get(letters)) is None:
            index = self._columns[letters] = column_index(letters)
        return index


def column_index(letters: str) -> int:
    """A is 0. Raises `Invalid` for what is no column."""
    index = 0
    if not (letters.isascii() and letters.isupper() and letters.isalpha() and len(letters) <= 3):
        raise invalid("malformed_xml", f"The workbook names a cell in column {letters[:10]!r}.")
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    if index > MOST_COLUMNS:
        raise invalid("too_many", f"The sheet has a column {letters}; a workbook has at most {MOST_COLUMNS} columns.")
    return index - 1


def column_letters(index: int) -> str:
    letters, index = "", index + 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def number(raw: str) -> Cell:
    """As a spreadsheet shows it without a format: 5.0 is 5, and nothing stands behind the 15th digit."""
    if raw.isdecimal() and raw.isascii() and len(raw) <= MOST_DIGITS:
        return raw
    try:
        value = float(raw)
    except ValueError:
        return _unknown(raw)
    if value.is_integer():
        if abs(value) < 10**MOST_DIGITS:
            return str(int(value))
        return Flaw("imprecise", f"A number of more than {MOST_DIGITS} digits has lost some: write it as text.")
    # Infinity and what is not a number are not finite; neither has an integer.
    return format(value, f".{MOST_DIGITS}g") if abs(value) < float("inf") else _unknown(raw)


def _moment(raw: str, epoch: datetime) -> Cell:
    """To the millisecond, more than which a workbook does not keep."""
    try:
        return epoch + timedelta(milliseconds=round(float(raw) * 86_400_000))
    except (ValueError, OverflowError):
        return Flaw("invalid", f"{raw[:20]!r} is no date.")


def _iso_date(raw: str) -> Cell:
    try:
        return datetime.fromisoformat(raw).replace(tzinfo=None)
    except ValueError:
        return Flaw("invalid", f"{raw[:20]!r} is no date.")


def _boolean(raw: str) -> Cell:
    return "true" if raw == "1" else "false"


def _error(raw: str) -> Cell:
    return Flaw("cell_error", f"The cell holds the error {raw[:20]}.")


def _unknown(raw: str) -> Cell:
    return Flaw("malformed_cell", f"The cell holds {raw[:20]!r}, which makes no sense there.")


def _row_number(raw: str) -> int:
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= _MOST_ROW_DIGITS):
        raise invalid("malformed_xml", f"The workbook has a row with the number {raw[:20]!r}.")
    return int(raw)
