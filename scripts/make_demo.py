"""Make the files of `warehouse.demo` out of the grocery data: `python scripts/make_demo.py DATA_DIR`.

DATA_DIR holds `products.csv.zst` and `movements.csv.zst`. The same data always gives the same files.
"""

import csv
import io
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import zstandard

TARGET = Path(__file__).parents[1] / "src" / "warehouse" / "demo"

OPENED_AT = "2017-01-01T00:00:00Z"
LEAST_SOLD = 2
"""A warehouse keeps what it sells at least so often."""
PRODUCTS_IN_BIN = 40
BINS_IN_AISLE = 12
NOT_KEPT = {"COUPON", "FUEL", "TRAVEL & LEISURE"}

FROZEN_WORDS = ("FRZN", "FROZEN", "ICE CREAM")
CHILLED_WORDS = (
    "BUTTER",
    "CHEESE",
    "EGGS",
    "FLUID MILK",
    "MARGARINES",
    "MILK BY-PRODUCTS",
    "DAIRY",
    "REFRGRATD",
    "YOGURT",
)
CHILLED_DEPARTMENTS = {
    "CHEF SHOPPE", "DELI", "FLORAL", "MEAT", "MEAT-PCKGD", "PRODUCE", "RESTAURANT", "SALAD BAR", "SEAFOOD",
    "SEAFOOD-PCKGD",
}  # fmt: skip
FOOD_DEPARTMENTS = {"GROCERY", "NUTRITION", "PASTRY", "SPIRITS"}

Table = list[dict[str, str]]


@dataclass(frozen=True)
class Site:
    code: str
    name: str
    address: str


class Stock(NamedTuple):
    """So much of a product in one bin."""

    location: str
    sku: str
    quantity: int


SITES = (
    Site("NORTH", "Northgate Distribution Centre", "1 Northgate Road"),
    Site("EAST", "Eastfield Distribution Centre", "27 Eastfield Park"),
    Site("SOUTH", "Southbank Distribution Centre", "8 Southbank Quay"),
    Site("WEST", "Westbrook Distribution Centre", "114 Westbrook Lane"),
)
ZONES = {"A": "Ambient food", "C": "Chilled", "F": "Frozen", "H": "Health and household"}
DOCKS = (
    ("RECEIVING", "Goods in", "receiving"),
    ("SHIPPING", "Goods out", "shipping"),
    ("QUARANTINE", "Held for inspection", "quarantine"),
)


def main(data: Path) -> None:
    products = {row["sku"]: row for row in read(data / "products.csv.zst")}
    sold = sold_by_site(read(data / "movements.csv.zst"))
    stock = {site: shelve(products, sold[index]) for index, site in enumerate(SITES)}
    shutil.copyfile(data / "products.csv.zst", TARGET / "products.csv.zst")
    (TARGET / "locations.csv").write_bytes(text_of(location_rows(stock)))
    compressed = zstandard.ZstdCompressor(level=19).compress(text_of(receipt_rows(stock)))
    (TARGET / "movements.csv.zst").write_bytes(compressed)
    print(f"{sum(map(len, stock.values()))} balances")  # noqa: T201  a script's answer


def read(path: Path) -> Table:
    with zstandard.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sold_by_site(sales: Table) -> Mapping[int, Counter[str]]:
    """Quantities by the index of the site and by SKU; each site serves stores that together sell about as much."""
    stores = sorted(Counter(sale["location"] for sale in sales).items(), key=lambda item: (-item[1], item[0]))
    # Dealt out to and fro, so that no site always gets the bigger one.
    turn = [*range(len(SITES)), *reversed(range(len(SITES)))]
    site_of = {store: turn[number % len(turn)] for number, (store, _) in enumerate(stores)}
    sold: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for sale in sales:
        sold[site_of[sale["location"]]][sale["sku"]] += int(sale["qty"])
    return sold


def shelve(products: Mapping[str, dict[str, str]], sold: Counter[str]) -> list[Stock]:
    """Put what a site keeps into bins, like beside like, a little more of each than it is going to sell."""
    by_zone: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for sku, quantity in sold.items():
        if quantity >= LEAST_SOLD and products[sku]["department"] not in NOT_KEPT:
            by_zone[zone(products[sku])].append(products[sku])
    return [
        Stock(bin_code(name, number), product["sku"], opening(sold[product["sku"]]))
        for name in sorted(by_zone)
        for number, product in enumerate(sorted(by_zone[name], key=likeness))
    ]


def zone(product: Mapping[str, str]) -> str:
    department, category = product["department"], product["category"]
    if department == "FROZEN GROCERY" or any(word in category for word in FROZEN_WORDS):
        return "F"
    if department in CHILLED_DEPARTMENTS or any(word in category for word in CHILLED_WORDS):
        return "C"
    return "A" if department in FOOD_DEPARTMENTS else "H"


def likeness(product: Mapping[str, str]) -> tuple[str, str, str]:
    return product["category"], product["product_type"], product["sku"]


def bin_code(zone_code: str, number: int) -> str:
    aisle, place = divmod(number // PRODUCTS_IN_BIN, BINS_IN_AISLE)
    return f"{zone_code}-{aisle + 1:02}-{place + 1:02}"


def opening(sold: int) -> int:
    return sold + max(3, sold // 4)


def location_rows(stock: Mapping[Site, Sequence[Stock]]) -> Iterator[Sequence[str]]:
    yield "warehouse", "warehouse_name", "address", "code", "name", "kind", "parent"
    for site, shelves in stock.items():
        yield site.code, site.name, site.address, "", "", "", ""
        for code, name, kind in DOCKS:
            yield site.code, "", "", code, name, kind, ""
        for code, name, parent in tree(sorted({each.location for each in shelves})):
            yield site.code, "", "", code, name, "storage", parent


def tree(bins: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Code, name and parent of every zone, aisle and bin, parents first."""
    aisles = sorted({code.rpartition("-")[0] for code in bins})
    for code in sorted({aisle.rpartition("-")[0] for aisle in aisles}):
        yield code, ZONES[code], ""
    for code in aisles:
        zone_code, _, number = code.rpartition("-")
        yield code, f"{ZONES[zone_code]} aisle {int(number)}", zone_code
    for code in bins:
        yield code, "", code.rpartition("-")[0]


def receipt_rows(stock: Mapping[Site, Sequence[Stock]]) -> Iterator[Sequence[str]]:
    yield "timestamp", "type", "sku", "warehouse", "location", "qty", "reason", "reference"
    for site, shelves in stock.items():
        for location, sku, quantity in shelves:
            yield OPENED_AT, "receipt", sku, site.code, location, str(quantity), "opening stock", f"OPENING-{site.code}"


def text_of(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
