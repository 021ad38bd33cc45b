import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from warehouse import errors
from warehouse.errors import Code, WarehouseError
from warehouse.http.problems import STATUS, TITLES, status_of

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(
    r"^\| `(?P<code>\w+)` \| (?P<status>\d{3}) \| (?P<meaning>[^|]+) \| (?P<advice>[^|]+) \|$", re.MULTILINE
)


def rows() -> Iterator[tuple[str, int, str]]:
    for row in ROW.finditer(PAGE.read_text()):
        yield row["code"], int(row["status"]), row["meaning"]


def test_every_code_is_explained_once_and_no_other() -> None:
    assert sorted(code for code, _, _ in rows()) == sorted(Code)


def test_the_titles_are_those_of_the_problems() -> None:
    for code, _, meaning in rows():
        assert meaning.startswith(TITLES[Code(code)]), code


def test_only_statuses_that_exist_are_given() -> None:
    assert {status for _, status, _ in rows()} == set(STATUS.values())


@pytest.mark.parametrize("kind", [each for each in STATUS if each.__module__ == errors.__name__])
def test_the_code_of_an_error_has_the_status_of_the_error(kind: type[WarehouseError]) -> None:
    error = kind.__new__(kind)

    assert {code: status for code, status, _ in rows()}[kind.code] == status_of(error)
