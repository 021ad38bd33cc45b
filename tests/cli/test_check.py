"""`warehouse check` tells a ledger that adds up from one that does not, by its words and by its exit status."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Warehouse

FILES = {
    "products": b"sku,name,tracking\nA-1,Bread,none\nA-2,Milk,lot\n",
    "locations": b"warehouse,code,name,kind\nEAST,E-01,Shelf,storage\n",
    "movements": b"timestamp,type,sku,location,lot,qty\n"
    b"2026-01-02T03:04:05Z,receipt,A-1,E-01,,5\n2026-01-02T03:04:05Z,receipt,A-2,E-01,[/L-1],7\n",
}
ID = "[0-9a-f-]{36}"


@pytest.fixture
def database(warehouse: Warehouse, folder: Path) -> Path:
    for kind, content in FILES.items():
        assert warehouse("import", kind, "-", stdin=content).status == 0
    return folder / "var/warehouse.db"


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def drift(lot: str | None, stored: int, expected: int) -> re.Pattern[str]:
    told = f"on_hand: product {ID} at {ID}, lot {re.escape(str(lot))}: stored {stored}, expected {expected}"
    return re.compile(told)


def test_an_empty_ledger_is_consistent(warehouse: Warehouse) -> None:
    run = warehouse("check")
    assert (run.status, run.out, run.err) == (0, "0 balances, 0 movements, 0 drifts.\n", "")


@pytest.mark.usefixtures("database")
def test_a_ledger_that_adds_up_is_consistent(warehouse: Warehouse) -> None:
    run = warehouse("check")
    assert (run.status, run.out, run.err) == (0, "2 balances, 2 movements, 0 drifts.\n", "")


def test_a_changed_balance_is_told_with_what_it_should_be(warehouse: Warehouse, database: Path) -> None:
    change(database, "UPDATE balances SET on_hand = 6 WHERE on_hand = 5")
    run = warehouse("check")
    assert (run.status, run.err) == (1, "")
    count, told = run.out.splitlines()
    assert count == "2 balances, 2 movements, 1 drifts."
    assert drift(None, 6, 5).fullmatch(told)


def test_a_lot_is_told_as_it_is_written(warehouse: Warehouse, database: Path) -> None:
    change(database, "UPDATE movements SET delta = 8 WHERE delta = 7")
    run = warehouse("check")
    assert run.status == 1
    assert drift("[/L-1]", 7, 8).fullmatch(run.out.splitlines()[1])


def test_a_mended_balance_is_consistent_again(warehouse: Warehouse, database: Path) -> None:
    change(database, "UPDATE balances SET on_hand = on_hand + 1")
    assert warehouse("check").out.count("on_hand: ") == 2
    change(database, "UPDATE balances SET on_hand = on_hand - 1")
    assert warehouse("check").status == 0
