"""`warehouse import`: good rows go in, bad ones are named by line, and the exit status tells which it was."""

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from tests.cli.conftest import Warehouse
from tests.unit.exchange.workbooks import header, number, of_sheets, row, text, workbook

GOOD = b"sku,name,colour\nA-1,Bread,brown\nA-2,Milk,white\n"
BAD = b"sku,name,reorder_point\nA-1,Bread,5\n,Nameless,\nA-3,Cake,many\nA-4,,2\n"
PLACES = b"warehouse,code,name,kind\nEAST,E-01,Shelf,storage\n"
MOVEMENTS = (
    b"timestamp,type,sku,location,qty\n2026-01-02T03:04:05Z,receipt,A-1,E-01,5\n2026-01-02T03:05:05Z,sale,A-1,E-01,2\n"
)


@pytest.fixture
def database(folder: Path) -> Path:
    return folder / "var/warehouse.db"


def rows(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(statement).fetchall()


def skus(database: Path) -> list[object]:
    return [sku for (sku,) in rows(database, "SELECT sku FROM products ORDER BY sku")]


def everything(database: Path) -> list[tuple[object, ...]]:
    tables = [name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'")]
    assert "movements" in tables
    return [(table, *row) for table in tables for row in rows(database, f"SELECT * FROM {table}")]


def test_a_good_file_goes_in(warehouse: Warehouse, folder: Path, database: Path) -> None:
    (folder / "good.csv").write_bytes(GOOD)
    run = warehouse("import", "products", "good.csv")
    assert (run.status, run.out) == (0, "2 rows, 2 created\n")
    assert skus(database) == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("good.csv.gz", gzip.compress),
        ("good.csv.zst", zstandard.ZstdCompressor().compress),
        ("good.CSV", bytes),
        ("good", bytes),
    ],
)
def test_a_file_may_be_packed(
    name: str, pack: Callable[[bytes], bytes], warehouse: Warehouse, folder: Path, database: Path
) -> None:
    (folder / name).write_bytes(pack(GOOD))
    run = warehouse("import", "products", name)
    assert (run.status, run.out) == (0, "2 rows, 2 created\n")
    assert skus(database) == ["A-1", "A-2"]


@pytest.mark.parametrize(
    "given",
    [
        GOOD,
        gzip.compress(GOOD),
        zstandard.ZstdCompressor().compress(GOOD),
        b'{"sku": "A-1", "name": "Bread"}\n{"sku": "A-2", "name": "Milk"}\n',
    ],
    ids=["csv", "gz", "zst", "ndjson"],
)
def test_standard_input_may_be_any_of_them(given: bytes, warehouse: Warehouse, database: Path) -> None:
    run = warehouse("import", "products", "-", stdin=given)
    assert (run.status, run.out) == (0, "2 rows, 2 created\n")
    assert skus(database) == ["A-1", "A-2"]


def test_bad_rows_are_named_by_line_and_the_others_go_in(warehouse: Warehouse, database: Path) -> None:
    run = warehouse("import", "products", "-", stdin=BAD)
    assert (run.status, run.out) == (1, "4 rows, 1 created, 3 failed\n")
    told = [line for line in run.err.splitlines() if line.startswith("line ")]
    assert [line.partition(":")[0] for line in told] == ["line 3, sku", "line 4, reorder_point", "line 5, name"]
    assert told[0] == "line 3, sku: The row needs a value here. (missing)"
    assert skus(database) == ["A-1"]


def test_a_bad_row_keeps_all_others_out_of_an_atomic_import(warehouse: Warehouse, database: Path) -> None:
    run = warehouse("import", "products", "-", "--atomic", stdin=BAD)
    assert (run.status, run.out) == (1, "4 rows, 3 failed\n")
    assert skus(database) == []
    run = warehouse("import", "products", "-", "--atomic", stdin=GOOD)
    assert (run.status, run.out) == (0, "2 rows, 2 created\n")
    assert skus(database) == ["A-1", "A-2"]


def test_of_many_bad_rows_the_first_are_named_and_all_are_counted(warehouse: Warehouse) -> None:
    run = warehouse("import", "products", "-", stdin=b"sku,name\n" + b",Nameless\n" * 50)
    assert (run.status, run.out) == (1, "50 rows, 50 failed\n")
    assert run.err.count("line ") == 20
    assert "50 rows in all were not taken" in run.err


def test_a_long_reason_stays_on_its_line_and_markup_is_text(warehouse: Warehouse) -> None:
    column = "[bold]" + "x" * 60
    run = warehouse("import", "products", "-", stdin=f'{{"sku": "A-1", "name": "Bread", "{column}": 1}}\n'.encode())
    assert run.status == 1
    [told] = [line for line in run.err.splitlines() if line.startswith("line ")]
    assert told.startswith(f"line 1, {column[:64]}: ")
    assert told.endswith("(too_long)")


def test_a_repeated_import_changes_nothing(warehouse: Warehouse, database: Path) -> None:
    files = {"locations": PLACES, "products": GOOD, "movements": MOVEMENTS}
    first = [warehouse("import", kind, "-", stdin=content) for kind, content in files.items()]
    assert [run.status for run in first] == [0, 0, 0]
    before = everything(database)
    again = [warehouse("import", kind, "-", stdin=content) for kind, content in files.items()]
    assert [(run.status, run.out) for run in again] == [
        (0, "1 rows, 1 unchanged\n"),
        (0, "2 rows, 2 unchanged\n"),
        (0, "2 rows, 2 repeated\n"),
    ]
    assert everything(database) == before
    assert rows(database, "SELECT on_hand FROM balances") == [(3,)]
    assert warehouse("check").status == 0


@pytest.mark.parametrize(
    ("name", "message"), [("nosuch.csv", "nosuch.csv: No such file or directory."), (".", ".: Is a directory.")]
)
def test_a_file_that_cannot_be_opened_is_named(name: str, message: str, warehouse: Warehouse) -> None:
    assert warehouse("import", "products", name).message == message


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("products", b"", "empty"),
        ("products", b"name\nBread\n", "`sku`"),
        ("movements", GOOD, "`timestamp`"),
        ("products", zstandard.ZstdCompressor().compress(GOOD)[:-9], "damaged"),
    ],
)
def test_a_file_without_a_sense_is_refused_whole(
    kind: str, content: bytes, reason: str, warehouse: Warehouse, database: Path
) -> None:
    run = warehouse("import", kind, "-", stdin=content)
    assert run.status in (1, 2)
    assert reason in run.err
    assert "Traceback" not in run.err
    assert skus(database) == []


def test_a_workbook_goes_in(warehouse: Warehouse, folder: Path, database: Path) -> None:
    content = workbook(header("sku", "name"), row(number(1001), text("Bread")), row(text("A-2"), text("Milk")))
    (folder / "good.xlsx").write_bytes(content)
    run = warehouse("import", "products", "good.xlsx")
    assert (run.status, run.out) == (0, "2 rows, 2 created\n")
    run = warehouse("import", "products", "-", stdin=content)
    assert (run.status, run.out) == (0, "2 rows, 2 unchanged\n")
    assert skus(database) == ["1001", "A-2"]


def test_a_sheet_is_named(warehouse: Warehouse, database: Path) -> None:
    content = of_sheets(One="visible", Two="visible")
    run = warehouse("import", "products", "-", "--sheet", "Three", stdin=content)
    assert run.status == 2
    assert run.err.splitlines()[-1] == "There is no such sheet. The workbook's sheets are: 'One', 'Two'."
    run = warehouse("import", "products", "-", "--sheet", "Two", stdin=content)
    assert run.status == 1
    assert "line 2, name" in run.err


def test_columns_get_our_names_and_errors_theirs(warehouse: Warehouse, database: Path) -> None:
    content = b"a=b,Bezeichnung,Preis,Bestand\nA-1,Bread,5,1\nA-2,Milk,5,x\n"
    options = ("--map", "a=b=sku", "--map", "Bezeichnung=name", "--map", "Preis=", "--map", "Bestand=reorder_point")
    run = warehouse("import", "products", "-", *options, stdin=content)
    assert (run.status, run.out) == (1, "2 rows, 1 created, 1 failed\n")
    assert "line 3, Bestand: " in run.err
    assert rows(database, "SELECT sku, name, reorder_point FROM products") == [("A-1", "Bread", 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--map", "sku"), "--map sku: write FILE_COLUMN=COLUMN."),
        (("--map", "a=b", "--map", "a=c"), "--map: one column of the file is named twice."),
        (("--map", "x=name"), "The mapping of column 'x': The header has no such column."),
        (("--map", "sku=name"), "The mapping of column 'sku': The file has a column 'name' too."),
        (("--sheet", "One"), "Only an XLSX workbook has sheets to choose from."),
    ],
)
def test_what_cannot_be_asked_for_is_named(
    options: tuple[str, ...], message: str, warehouse: Warehouse, database: Path
) -> None:
    run = warehouse("import", "products", "-", *options, stdin=GOOD)
    assert (run.status, run.err.splitlines()[-1]) == (2, message)


def test_a_dry_run_tells_and_does_nothing(warehouse: Warehouse, database: Path) -> None:
    run = warehouse("import", "products", "-", "--dry-run", stdin=BAD)
    assert (run.status, run.out) == (1, "4 rows, 1 created, 3 failed\n")
    assert "Nothing was written" in run.err
    assert skus(database) == []
    run = warehouse("import", "products", "-", "--dry-run", "--atomic", stdin=BAD)
    assert (run.status, run.out) == (1, "4 rows, 3 failed\n")
