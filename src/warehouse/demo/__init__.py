"""The demo: a grocery catalogue, four warehouses, and what is in them. See README.md beside this file."""

from dataclasses import dataclass
from importlib.resources import files
from typing import BinaryIO, cast

from warehouse.exchange.importing import Importer, ImportKind, ImportReport, Progress


@dataclass(frozen=True, slots=True)
class DemoFile:
    kind: ImportKind
    name: str
    rows: int

    def open(self) -> BinaryIO:
        return cast("BinaryIO", files(__name__).joinpath(self.name).open("rb"))


DEMO_FILES = (
    DemoFile(ImportKind.LOCATIONS, "locations.csv", 958),
    DemoFile(ImportKind.PRODUCTS, "products.csv.zst", 92_331),
    DemoFile(ImportKind.MOVEMENTS, "movements.csv.zst", 33_624),
)
"""In the order in which they are to be imported."""

DEMO_ROWS = sum(file.rows for file in DEMO_FILES)


async def load_demo(importer: Importer, progress: Progress) -> list[ImportReport]:
    """Import the demo's files as any others; loading them again changes nothing. `progress` is told how many of the
    `DEMO_ROWS` are done."""
    reports: list[ImportReport] = []
    for file in DEMO_FILES:
        before = sum(report.rows for report in reports)
        with file.open() as stream:
            reports.append(await importer.run(file.kind, stream, file.name, progress=_behind(before, progress)))
    return reports


def _behind(before: int, progress: Progress) -> Progress:
    return lambda rows, _: progress(before + rows, DEMO_ROWS)
