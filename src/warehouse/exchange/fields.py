"""Single values of a row: raw text, JSON or a workbook's cell in, a valid value out."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from warehouse import lengths
from warehouse.clock import EARLIEST
from warehouse.exchange.tables import Flaw, RowError

Reader = Callable[[Any], Any]


_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORBIDDEN_IN_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_MOST_DIGITS = 20
_LATELY_SEEN = 1024


class Fault(Exception):
    """What is wrong with a value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def read_fields(
    line: int, values: Mapping[str, Any], readers: Iterable[tuple[str, Reader]], never_null: Collection[str]
) -> tuple[dict[str, Any], list[RowError]]:
    """The values that are there, and all that is wrong with them. Blank text is not there; a JSON null is there."""
    fields: dict[str, Any] = {}
    errors: list[RowError] = []
    for column, read in readers:
        raw = values.get(column, "")
        try:
            if isinstance(raw, str):
                if raw and not raw.isspace():
                    fields[column] = read(raw)
                continue
            if raw is None and column in never_null:
                raise Fault("missing", "Must not be null.")
            if isinstance(raw, Flaw):
                raise Fault(raw.code, raw.detail)
            fields[column] = None if raw is None else read(raw)
        except Fault as fault:
            errors.append(RowError(line, column, fault.code, fault.detail))
    return fields, errors


def missing(
    line: int, fields: Mapping[str, Any], errors: Iterable[RowError], required: Iterable[str]
) -> list[RowError]:
    """An error for each required column that has neither a value nor an error of its own."""
    absent = [column for column in required if column not in fields]
    wrong = {error.column for error in errors} if absent else ()
    return [
        RowError(line, column, "missing", "The row needs a value here.") for column in absent if column not in wrong
    ]


def text(longest: int, *, lines: bool = False) -> Reader:
    """Text without blanks at its ends and without control characters, but for line ends and tabs with `lines`; in NFC,
    in which one text has one spelling."""
    forbidden = _FORBIDDEN_IN_LINES if lines else _FORBIDDEN

    def read(raw: Any) -> str:
        if not isinstance(raw, str):
            if not isinstance(raw, datetime):
                raise Fault("invalid", "Must be text.")
            raw = _date_text(raw)
        value: str = raw.strip()
        if value.isascii() and value.isprintable() and len(value) <= longest:
            return value
        if not value.isprintable() and (character := forbidden.search(value)):
            detail = f"U+{ord(character[0]):04X}, the character at position {character.start() + 1}, is not allowed."
            raise Fault("control_character", detail)
        if not value.isascii():
            value = unicodedata.normalize("NFC", value)
        if len(value) > longest:
            raise Fault("too_long", f"Has {len(value)} characters; at most {longest} are kept.")
        return value

    return read


def choice(names: Mapping[str, StrEnum]) -> Reader:
    detail = f"Must be one of {', '.join(names)}."

    def read(raw: Any) -> StrEnum:
        chosen = names.get(raw.strip()) if isinstance(raw, str) else None
        if chosen is None:
            raise Fault("invalid", detail)
        return chosen

    return read


def member(kind: type[StrEnum]) -> Reader:
    return choice({each.value: each for each in kind})


def whole(least: int, most: int) -> Reader:
    """A whole number in digits, or a JSON number that is one."""

    def read(raw: Any) -> int:
        number = _whole(raw.strip()) if isinstance(raw, str) else _json_whole(raw)
        if number is None or not least <= number <= most:
            raise Fault("out_of_range", f"Must be from {least} to {most}.")
        return number

    return read


def _whole(digits: str) -> int | None:
    """None beyond any range that is asked for."""
    if not _WHOLE.fullmatch(digits):
        raise Fault("invalid", "Must be a whole number.")
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _json_whole(number: Any) -> int | None:
    if isinstance(number, float) and abs(number) > 2**53:
        return None
    if isinstance(number, bool) or not isinstance(number, int):
        raise Fault("invalid", "Must be a whole number.")
    return number


def moment(latest: datetime) -> Reader:
    """An instant (RFC 3339), UTC where it names no offset, not before `EARLIEST`."""

    @lru_cache(_LATELY_SEEN)
    def parse(raw: str) -> datetime:
        instant = _instant(raw.upper())
        if not EARLIEST <= instant <= latest:
            raise Fault("out_of_range", "Must be from 1970 on, and not in the future.")
        return instant

    def read(raw: Any) -> datetime:
        if isinstance(raw, datetime):
            raw = raw.isoformat()
        # Without its blanks, of which a megabyte would be remembered too.
        return parse(raw.strip() if isinstance(raw, str) else "")

    return read


def _instant(raw: str) -> datetime:
    raw = raw.replace(" ", "T", 1)
    try:
        if _RFC_3339.fullmatch(raw):
            instant = datetime.fromisoformat(raw)
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise Fault("invalid", "Must be a date and time like 2017-01-31T12:00:00Z (RFC 3339).")


def day(raw: Any) -> date:
    if isinstance(raw, datetime):
        raw = _date_text(raw)
    try:
        if isinstance(raw, str) and _DATE.fullmatch(raw.strip()):
            return date.fromisoformat(raw.strip())
    except ValueError:
        pass
    raise Fault("invalid", "Must be a date like 2017-01-31.")


def _date_text(moment: datetime) -> str:
    """A date alone at midnight: a cell does not tell them apart."""
    return moment.isoformat().removesuffix("T00:00:00")


def barcodes(raw: Any) -> tuple[str, ...]:
    """Several stand side by side with `|` between them, or in a JSON list, also where that is text."""
    parts = _barcode_texts(raw) if isinstance(raw, str) else raw
    if not isinstance(parts, list):
        raise Fault("invalid", "Must be text.")
    found = dict.fromkeys(code for code in map(_barcode, parts) if code)
    if len(found) > lengths.BARCODES:
        raise Fault("too_many", f"There are {len(found)} of them; at most {lengths.BARCODES} are kept.")
    return tuple(found)


def _barcode_texts(raw: str) -> list[Any]:
    found = _json(raw) if raw.lstrip().startswith("[") else None
    return found if isinstance(found, list) else raw.split("|")


def json_object(raw: Any) -> dict[str, Any]:
    """An object, or the text of one; nothing is an empty one."""
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}
    found = _json(raw) if isinstance(raw, str) else raw
    if not isinstance(found, dict):
        raise Fault("invalid", "Must be an object.")
    return found


def _json(raw: str) -> Any:
    """None where it is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


_barcode = text(lengths.BARCODE)
_attribute_key = text(lengths.ATTRIBUTE_KEY)
_attribute_text = text(lengths.ATTRIBUTE_VALUE)


def attribute_key(raw: str) -> str:
    key: str = _attribute_key(raw)
    if not key:
        raise Fault("missing", "An attribute needs a name.")
    return key


def attribute(raw: Any) -> str | int | float | bool:
    """Text, or a JSON scalar as it is; of a date its text."""
    if isinstance(raw, bool | int | float):
        return raw
    if isinstance(raw, datetime):
        return _date_text(raw)
    if not isinstance(raw, str):
        raise Fault("invalid", "Must be text, a number, or true or false.")
    value: str = _attribute_text(raw)
    return value


def exact_attribute(raw: Any) -> str | int | float | bool:
    """A JSON scalar as it is, text with all its blanks and line ends."""
    if not isinstance(raw, str):
        return attribute(raw)
    if len(raw) > lengths.ATTRIBUTE_VALUE:
        raise Fault("too_long", f"Has {len(raw)} characters; at most {lengths.ATTRIBUTE_VALUE} are kept.")
    return raw
