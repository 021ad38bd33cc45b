"""From what a command's lines name to the records they mean, in one query for each kind of record."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from warehouse.catalogue.model import Product, ProductStatus, Tracking, sku_key
from warehouse.errors import Code
from warehouse.locations.model import Location, Warehouse, WarehouseStatus
from warehouse.stock.findings import Findings
from warehouse.stock.model import NO_LOT, ProductRef
from warehouse.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Resolved:
    """Looks records up; what is not there or may not be used is noted in `findings`, and the answer is None."""

    findings: Findings
    products: dict[UUID, Product]
    by_sku: dict[str, Product]
    locations: dict[UUID, Location]
    warehouses: dict[UUID, Warehouse]

    def known(self, ref: ProductRef) -> Product | None:
        """The product, if there is one; nothing is noted."""
        return self.by_sku.get(sku_key(ref.sku or "")) if ref.id is None else self.products.get(ref.id)

    def product(self, line: int, ref: ProductRef, *, incoming: bool = False) -> Product | None:
        field = "sku" if ref.id is None else "product_id"
        product = self.known(ref)
        pointer = f"/lines/{line}/{field}"
        if product is None:
            self.findings.refuse(pointer, "unknown_product", "There is no such product.")
        elif incoming and product.status is ProductStatus.ARCHIVED:
            self.findings.conflict(pointer, Code.ARCHIVED, f"Product {product.sku} is archived.")
            return None
        return product

    def location(self, line: int, location_id: UUID, field: str = "location_id") -> Location | None:
        pointer = f"/lines/{line}/{field}"
        location = self.locations.get(location_id)
        if location is None:
            self.findings.refuse(pointer, "unknown_location", "There is no such location.")
            return None
        return location if self._open(pointer, location.warehouse_id) else None

    def warehouse(self, line: int, warehouse_id: UUID) -> Warehouse | None:
        pointer = f"/lines/{line}/warehouse_id"
        if warehouse_id not in self.warehouses:
            self.findings.refuse(pointer, "unknown_warehouse", "There is no such warehouse.")
            return None
        return self.warehouses[warehouse_id] if self._open(pointer, warehouse_id) else None

    def _open(self, pointer: str, warehouse_id: UUID) -> bool:
        return _is_open(self.warehouses[warehouse_id], pointer, self.findings)

    def lot(self, line: int, product: Product, lot: str | None) -> str | None:
        """The lot under which stock is kept; None where the line has to name one or may not."""
        pointer = f"/lines/{line}/lot"
        if product.tracking is Tracking.NONE and lot is not None:
            self.findings.refuse(pointer, "lot_not_tracked", f"Product {product.sku} is not tracked by lot.")
            return None
        if product.tracking is Tracking.LOT and lot is None:
            self.findings.refuse(pointer, "lot_required", f"Product {product.sku} is tracked by lot; name one.")
            return None
        return lot or NO_LOT


async def check_open(uow: UnitOfWork, findings: Findings, warehouse_ids: Collection[UUID], pointer: str) -> None:
    """Note which of the warehouses are archived: no command moves their stock."""
    for warehouse in await uow.warehouses.find(warehouse_ids):
        _is_open(warehouse, pointer, findings)


def _is_open(warehouse: Warehouse, pointer: str, findings: Findings) -> bool:
    if warehouse.status is WarehouseStatus.ARCHIVED:
        findings.conflict(pointer, Code.ARCHIVED, f"Warehouse {warehouse.code} is archived.")
        return False
    return True


async def resolve(
    uow: UnitOfWork,
    findings: Findings,
    *,
    products: Iterable[ProductRef],
    locations: Iterable[UUID | None] = (),
    warehouses: Iterable[UUID | None] = (),
) -> Resolved:
    """Read all that the lines name."""
    refs = list(products)
    ids = {ref.id for ref in refs if ref.id is not None}
    skus = {ref.sku for ref in refs if ref.sku is not None}
    found = await uow.products.find(ids, skus)
    places = await uow.locations.find({location for location in locations if location is not None})
    wanted = {warehouse for warehouse in warehouses if warehouse is not None}
    around = await uow.warehouses.find(wanted | {place.warehouse_id for place in places})
    return Resolved(
        findings,
        {product.id: product for product in found},
        {sku_key(product.sku): product for product in found},
        {place.id: place for place in places},
        {warehouse.id: warehouse for warehouse in around},
    )
