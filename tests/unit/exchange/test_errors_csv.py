import csv
import io

import orjson

from warehouse.exchange.journal import BatchOutcome, errors_csv
from warehouse.exchange.tables import RowError


def outcome(*errors: RowError) -> BatchOutcome:
    return BatchOutcome(9, {"created": 7}, 2, len(errors), errors, complete=True)


def test_errors_become_a_file_that_no_program_runs() -> None:
    errors = [RowError(2, "=cmd|' /C calc'!A0", "invalid", "Must be text."), RowError(3, None, "ragged", '-2 "x",\ny')]
    pieces = list(errors_csv([outcome(errors[0]), outcome(), outcome(errors[1])]))
    assert len(pieces) == 3
    assert list(csv.reader(io.StringIO(b"".join(pieces).decode(), newline=""))) == [
        ["line", "column", "code", "detail"],
        ["2", "'=cmd|' /C calc'!A0", "invalid", "Must be text."],
        ["3", "", "ragged", '\'-2 "x",\ny'],
    ]


def test_a_lone_surrogate_in_a_name_breaks_no_file() -> None:
    assert b"?" in b"".join(errors_csv([outcome(RowError(1, "\ud800", "invalid", ""))]))


def test_an_outcome_survives_json() -> None:
    given = outcome(RowError(2, "sku", "invalid", "Must be text."), RowError(3, None, "ragged", "é"))
    restored = BatchOutcome.restored(orjson.loads(orjson.dumps(given)))
    assert orjson.dumps(restored) == orjson.dumps(given)
    assert list(restored.errors) == list(given.errors)
