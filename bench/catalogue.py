"""The real catalogue: the demo's grocery data, cut to size."""

import csv
import io
import shutil
from itertools import islice
from pathlib import Path

import zstandard

from warehouse.demo import DEMO_FILES
from warehouse.exchange.importing import ImportKind

PRODUCTS = 30_000


def written_catalogue(folder: Path, products: int) -> Path:
    """A CSV file with the first products."""
    file = folder / "products.csv"
    with _lines() as lines, file.open("w", newline="") as out:
        out.writelines(islice(lines, products + 1))
    return file


def written_locations(folder: Path) -> Path:
    (demo,) = (each for each in DEMO_FILES if each.kind is ImportKind.LOCATIONS)
    file = folder / demo.name
    with demo.open() as source, file.open("wb") as out:
        shutil.copyfileobj(source, out)
    return file


def sold_lines(products: int) -> dict[str, int]:
    """How often each SKU was sold, for a popularity that is not invented."""
    with _lines() as lines:
        return {row["sku"]: int(row["sold_lines"]) for row in islice(csv.DictReader(lines), products)}


def _lines() -> io.TextIOWrapper:
    (demo,) = (each for each in DEMO_FILES if each.kind is ImportKind.PRODUCTS)
    reader = zstandard.ZstdDecompressor().stream_reader(demo.open(), closefd=True)
    return io.TextIOWrapper(reader, encoding="utf-8", newline="")
