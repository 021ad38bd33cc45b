"""What is asked of a task of the exchange, as it stands in the task's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warehouse.catalogue.model import ProductFilter
from warehouse.exchange.exporting import Criteria, ExportFormat, ExportKind
from warehouse.exchange.report_model import ReportFormat
from warehouse.stock.model import BalanceFilter, MovementFilter


@dataclass(frozen=True, slots=True)
class ImportAsked:
    """Of the file that was uploaded for the task. `columns` is from the file's names to ours."""

    file_name: str
    atomic: bool = False
    dry_run: bool = False
    sheet: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportAsked:
    """`filters` are those of the kind's list, by name."""

    format: ExportFormat
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportAsked:
    """`parameters` are as they came over the wire."""

    format: ReportFormat
    parameters: Mapping[str, Any] = field(default_factory=dict)


EXPORTED: Mapping[ExportKind, type[Criteria]] = {
    ExportKind.PRODUCTS: ProductFilter,
    ExportKind.STOCK: BalanceFilter,
    ExportKind.MOVEMENTS: MovementFilter,
}
