import csv
import io

from tests.unit.exchange.files import values
from tests.unit.exchange.tables import HOSTILE, NAMES, file_of, product
from warehouse.exchange.columns import BALANCE_COLUMNS, PRODUCT_COLUMNS, Column, Content
from warehouse.exchange.csv_writing import CsvWriter


def written(*rows: str) -> list[list[str]]:
    content = file_of(CsvWriter(PRODUCT_COLUMNS), list(rows)).decode()
    return list(csv.reader(io.StringIO(content, newline=""), strict=True))


def test_a_file_begins_with_its_header_and_its_lines_end_as_the_standard_says() -> None:
    content = file_of(CsvWriter(PRODUCT_COLUMNS), [product()], [product(name="Äpfel")])
    assert content.count(b"\r\n") == content.count(b"\n") == 3
    assert content.startswith(b"id,sku,name,")
    assert "Äpfel".encode() in content


def test_without_rows_there_is_the_header() -> None:
    assert file_of(CsvWriter(PRODUCT_COLUMNS)) == ",".join(NAMES).encode() + b"\r\n"


def test_values_stand_as_imports_read_them() -> None:
    [_, row] = written(product())
    assert dict(zip(NAMES, row, strict=True)) == {
        "id": "01940000-0000-7000-8000-000000000001",
        "sku": "CJ-1",
        "name": "Rye bread",
        "description": "",
        "category": "",
        "unit": "each",
        "barcodes": "1|2",
        "reorder_point": "5",
        "tracking": "lot",
        "negative_stock": "forbid",
        "attributes": '{"brand":"Own"}',
        "status": "active",
        "version": "3",
        "created_at": "2026-11-25T20:30:00Z",
        "updated_at": "2026-11-25T20:30:00.000001Z",
    }


def test_no_cell_is_a_formula_and_every_text_comes_back() -> None:
    texts = [*HOSTILE, "-1", "+1", "\tx", "\rx"]
    rows = [product(name=text, description=text, category=text, barcodes=[text]) for text in texts]
    for _, *cells in written(*rows)[1:]:
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    read = values(file_of(CsvWriter(PRODUCT_COLUMNS), rows))
    assert [row["name"] for row in read] == texts


def test_a_negative_number_is_no_formula() -> None:
    content = file_of(
        CsvWriter([Column("delta", Content.WHOLE), Column("lot", Content.TEXT)]), ['{"delta":-5,"lot":"-5"}']
    )
    assert content == b"delta,lot\r\n-5,'-5\r\n"


def test_stock_has_a_column_for_each_of_its_fields() -> None:
    assert file_of(CsvWriter(BALANCE_COLUMNS)).startswith(b"product_id,sku,warehouse_id,location_id,lot,expires_on,")
