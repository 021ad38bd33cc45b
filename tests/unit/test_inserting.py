"""How values stand in a statement."""

from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest

from warehouse.storage import inserting


class Late(datetime):
    """As clocks in tests make."""


class Kind(StrEnum):
    SALE = "sale"


class Size(IntEnum):
    LARGE = 3


EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (UUID(int=255), "x'000000000000000000000000000000ff'"),
        (datetime(2024, 2, 29, 23, 59, 59, 7, UTC), "'2024-02-29 23:59:59.000007'"),
        (Late(2024, 3, 1, 1, 0, 0, 0, EAST), "'2024-02-29 23:00:00'"),
        ("", "''"),
        ("load-47 a.b,c:d;e/f_g", "'load-47 a.b,c:d;e/f_g'"),
        ("100 %", "_utf8mb4 x'3130302025'"),
        ("it's", "_utf8mb4 x'69742773'"),
        ("back\\", "_utf8mb4 x'6261636b5c'"),
        ("line\n", "_utf8mb4 x'6c696e650a'"),
        ("é", "_utf8mb4 x'c3a9'"),
        (Kind.SALE, "'sale'"),
        (-5, "-5"),
        (2**53, "9007199254740992"),
        (Size.LARGE, "3"),
        (True, "1"),
        (None, "NULL"),
    ],
)
def test_values(value: object, literal: str) -> None:
    assert inserting._literals([value]) == f"({literal})"


def test_what_has_no_literal_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        inserting._literals([1.5])


@pytest.mark.parametrize(("longest", "statements"), [(1, 3), (7, 3), (8, 2), (12, 1)])
def test_as_few_statements_as_may_be(monkeypatch: pytest.MonkeyPatch, longest: int, statements: int) -> None:
    monkeypatch.setattr(inserting, "STATEMENT_CHARACTERS", longest)
    made = list(inserting._statements(iter(["(11)", "(22)", "(33)"])))
    assert ",".join(made) == "(11),(22),(33)"
    assert len(made) == statements
