"""Reports as JSON and as CSV, some rows at a time."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from warehouse.exchange.cells import neutralised
from warehouse.exchange.report_model import ReportFormat, ReportKind, ReportParameters, ReportRow, written_out


@dataclass(frozen=True, slots=True)
class ReportHead:
    """`columns` are those of a table, `sums` what the summary adds up."""

    kind: ReportKind
    parameters: ReportParameters
    as_of: datetime
    columns: Sequence[str]
    sums: Sequence[str]


class ReportWriter(Protocol):
    def head(self) -> bytes: ...
    def body(self, rows: Sequence[ReportRow]) -> bytes: ...
    def tail(self) -> bytes: ...


class JsonReport:
    """The summary comes last: it is made of the rows while they go by."""

    def __init__(self, head: ReportHead) -> None:
        self._head = head
        self._summary = {"rows": 0, **dict.fromkeys(head.sums, 0)}

    def head(self) -> bytes:
        opening = {
            "report": self._head.kind,
            "parameters": written_out(self._head.parameters),
            "as_of": self._head.as_of,
        }
        return _json(opening)[:-1] + b',"rows":['

    def body(self, rows: Sequence[ReportRow]) -> bytes:
        before = b"," if self._summary["rows"] else b""
        self._summary["rows"] += len(rows)
        for row in rows:
            for name, units in row.counted().items():
                self._summary[name] += units
        return before + _json(rows)[1:-1]

    def tail(self) -> bytes:
        return b'],"summary":' + _json(self._summary) + b"}"


class CsvReport:
    """As RFC 4180 has it, with a header. Texts that a spreadsheet would take for formulas are neutralised."""

    def __init__(self, head: ReportHead) -> None:
        self._columns = head.columns

    def head(self) -> bytes:
        return _csv([self._columns])

    def body(self, rows: Sequence[ReportRow]) -> bytes:
        return _csv([list(_cells(row)) for row in rows])

    def tail(self) -> bytes:
        return b""


WRITERS: Mapping[ReportFormat, type[JsonReport] | type[CsvReport]] = {
    ReportFormat.JSON: JsonReport,
    ReportFormat.CSV: CsvReport,
}


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(row: Any) -> Iterator[Any]:
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, str):
            yield neutralised(value)
        elif isinstance(value, datetime):
            yield value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        else:
            yield value
