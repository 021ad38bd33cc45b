import io
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.exchange.tables import HOSTILE, NAMES, PRODUCT, file_of, product
from warehouse.exchange.columns import PRODUCT_COLUMNS, Column, Content
from warehouse.exchange.parquet_writing import ParquetWriter


def read(content: bytes) -> Any:
    return pq.read_table(io.BytesIO(content))


def test_columns_have_types() -> None:
    table = read(file_of(ParquetWriter(PRODUCT_COLUMNS), [product()]))
    types = {name: str(table.schema.field(name).type) for name in NAMES}
    assert types["version"] == types["reorder_point"] == "int64"
    assert types["created_at"] == "timestamp[us, tz=UTC]"
    assert types["sku"] == types["attributes"] == "string"
    assert types["status"].startswith("dictionary<values=string")
    assert table.schema.field("barcodes").type == pa.list_(pa.string())


def test_values_come_back() -> None:
    [row] = read(file_of(ParquetWriter(PRODUCT_COLUMNS), [product()])).to_pylist()
    assert row["created_at"] == datetime(2026, 11, 25, 20, 30, tzinfo=UTC)
    assert row["updated_at"] == datetime(2026, 11, 25, 20, 30, 0, 1, tzinfo=UTC)
    assert orjson.loads(row["attributes"]) == PRODUCT["attributes"]
    others = [name for name in NAMES if name not in ("created_at", "updated_at", "attributes")]
    assert [row[name] for name in others] == [PRODUCT[name] for name in others]


def test_texts_are_what_they_were() -> None:
    table = read(file_of(ParquetWriter(PRODUCT_COLUMNS), [product(name=text) for text in HOSTILE]))
    assert table.column("name").to_pylist() == HOSTILE


def test_days_and_nothing_at_all() -> None:
    columns = [Column("day", Content.DAY), Column("kind", Content.CHOICE), Column("much", Content.WHOLE)]
    rows = ['{"day":"0001-01-01","kind":"a","much":-9007199254740991}', '{"day":null,"kind":null,"much":null}']
    assert read(file_of(ParquetWriter(columns), rows)).to_pylist() == [
        {"day": date(1, 1, 1), "kind": "a", "much": -9007199254740991},
        {"day": None, "kind": None, "much": None},
    ]


def test_row_groups_go_out_as_they_are_full() -> None:
    writer = ParquetWriter(PRODUCT_COLUMNS, row_group=10)
    pieces = [writer.begin()]
    for batch in range(5):
        status = "active" if batch < 3 else "archived"
        pieces.append(writer.write([product(sku=f"S{batch}-{row}", status=status) for row in range(5)]))
    assert [bool(piece) for piece in pieces] == [True, False, True, False, True, False]
    file = pq.ParquetFile(io.BytesIO(b"".join([*pieces, writer.end()])))
    assert [file.metadata.row_group(number).num_rows for number in range(3)] == [10, 10, 5]
    assert file.read().column("status").to_pylist() == ["active"] * 15 + ["archived"] * 10


def test_without_rows_there_are_the_columns() -> None:
    table = read(file_of(ParquetWriter(PRODUCT_COLUMNS)))
    assert (table.num_rows, table.column_names) == (0, NAMES)


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
from warehouse.errors import Invalid
from warehouse.exchange.exporting import ExportFormat
for format in ExportFormat:
    try:
        format.demand()
    except Invalid as refused:
        [error] = refused.errors
        print(format, error.pointer, "extra `parquet`" in error.detail)
"""


def test_without_pyarrow_the_format_is_refused_and_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYARROW], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "parquet ?format True\n"
