"""What the reports ought to say, worked out movement by movement."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from tests.contract.random_ledger import DAY, NOW, RandomLedger, Record
from warehouse.exchange.report_model import (
    AbcAnalysis,
    AbcMeasure,
    DeadStock,
    LowStock,
    MovementSummary,
    ReportClock,
    ReportKind,
    StockAgeing,
    StockAsOf,
)

Rows = list[Record]

KINDS: dict[type[Any], ReportKind] = {
    StockAsOf: ReportKind.STOCK_AS_OF,
    MovementSummary: ReportKind.MOVEMENT_SUMMARY,
    LowStock: ReportKind.LOW_STOCK,
    StockAgeing: ReportKind.STOCK_AGEING,
    AbcAnalysis: ReportKind.ABC_ANALYSIS,
    DeadStock: ReportKind.DEAD_STOCK,
}


@dataclass(frozen=True)
class Reference:
    """Rows as they are in JSON, but for ids and times, which are not text."""

    ledger: RandomLedger

    @cached_property
    def products(self) -> dict[UUID, Record]:
        return {each["id"]: each for each in self.ledger.products}

    @cached_property
    def warehouses(self) -> dict[UUID, Record]:
        return {each["id"]: each for each in self.ledger.warehouses}

    @cached_property
    def locations(self) -> dict[UUID, Record]:
        return {each["id"]: each for each in self.ledger.locations}

    @cached_property
    def expiries(self) -> dict[tuple[UUID, str], Any]:
        return {(each["product_id"], each["lot"]): each["expires_on"] for each in self.ledger.lots}

    @cached_property
    def reversed_by(self) -> dict[UUID, UUID]:
        return {each["command_id"]: each["reversal_id"] for each in self.ledger.reversals}

    def stands(self, command_id: UUID) -> bool:
        reversal = self.reversed_by.get(command_id)
        return reversal is None or not self.stands(reversal)

    def shipments(self, warehouse_id: UUID | None) -> Iterator[Record]:
        for each in self.ledger.movements:
            if each["kind"] == "shipment" and self.stands(each["command_id"]) and _within(each, warehouse_id):
                yield each

    def stock_as_of(self, asked: StockAsOf) -> Rows:
        clock = "occurred_at" if asked.clock is ReportClock.OCCURRED else "recorded_at"
        replayed: dict[tuple[UUID, UUID, str], int] = {}
        for each in sorted(self.ledger.movements, key=lambda movement: movement[clock]):
            if each[clock] > (asked.as_of or NOW):
                break
            wanted = asked.product_id in (None, each["product_id"])
            if wanted and _within(each, asked.warehouse_id):
                key = each["product_id"], each["location_id"], each["lot"]
                replayed[key] = replayed.get(key, 0) + each["delta"]
        rows = [
            {
                **self._named(product_id),
                **self._placed(self.locations[location_id]["warehouse_id"]),
                "location_id": location_id,
                "location": self.locations[location_id]["code"],
                "lot": lot or None,
                "expires_on": self.expiries.get((product_id, lot)),
                "on_hand": on_hand,
            }
            for (product_id, location_id, lot), on_hand in replayed.items()
            if on_hand or asked.include_zero
        ]
        return sorted(rows, key=lambda row: (*_order(row), row["location"], row["lot"] or ""))

    def movement_summary(self, asked: MovementSummary) -> Rows:
        groups: dict[tuple[Any, str], list[int]] = defaultdict(list)
        for each in self.ledger.movements:
            wanted = asked.product_id in (None, each["product_id"]) and _within(each, asked.warehouse_id)
            if wanted and asked.from_ <= each["occurred_at"] < (asked.to or NOW):
                groups[each["occurred_at"].astimezone(UTC).date(), str(each["kind"])].append(each["delta"])
        return [
            {
                "day": day,
                "kind": kind,
                "movements": len(deltas),
                "units_in": sum(delta for delta in deltas if delta > 0),
                "units_out": sum(-delta for delta in deltas if delta < 0),
                "net": sum(deltas),
            }
            for (day, kind), deltas in sorted(groups.items())
        ]

    def low_stock(self, asked: LowStock) -> Rows:
        by_warehouse = asked.by_warehouse or asked.warehouse_id is not None
        stock = self._stock(by_warehouse, asked.warehouse_id)
        if not by_warehouse:
            stock = {(product_id, None): (0, 0) for product_id in self.products} | stock
        outflow: Counter[tuple[UUID, UUID | None]] = Counter()
        for each in self.shipments(asked.warehouse_id):
            if each["occurred_at"] > NOW - timedelta(days=asked.outflow_days):
                outflow[_place(each, by_warehouse)] -= each["delta"]
        rows = []
        for (product_id, warehouse_id), (on_hand, reserved) in stock.items():
            product, out = self.products[product_id], outflow[product_id, warehouse_id]
            point, available = product["reorder_point"], on_hand - reserved
            if product["status"] == "active" and point is not None and available <= point:
                daily = out / asked.outflow_days
                cover = max(available, 0) / daily if out else None
                held = {"on_hand": on_hand, "reserved": reserved, "available": available, "reorder_point": point}
                rate = {"outflow": out, "daily_outflow": daily, "days_of_cover": cover}
                rows.append({**self._named(product_id), **self._placed(warehouse_id), **held, **rate})
        return sorted(rows, key=_order)

    def stock_ageing(self, asked: StockAgeing) -> Rows:
        totals: dict[tuple[UUID, UUID], Record] = {}
        starts = [0, *(last + 1 for last in asked.buckets)]
        names = [f"days_{start}_{last}" for start, last in zip(starts, asked.buckets, strict=False)]
        names.append(f"days_{starts[-1]}_up")
        for (product_id, warehouse_id, lot), on_hand in self._lots(asked.warehouse_id).items():
            if on_hand <= 0:
                continue
            row = totals.setdefault((product_id, warehouse_id), self._empty_ages(product_id, warehouse_id, names))
            row["on_hand"] += on_hand
            for age in self._ages(product_id, warehouse_id, lot, on_hand):
                bucket = sum(last < age for last in asked.buckets)
                row["ages"][names[bucket]] += 1
            if (expiry := self.expiries.get((product_id, lot))) is not None:
                left = (expiry - NOW.date()).days
                row["expired"] += on_hand if left < 0 else 0
                row["expiring"] += on_hand if 0 <= left <= asked.expiring_days else 0
        return sorted(totals.values(), key=_order)

    def abc_analysis(self, asked: AbcAnalysis) -> Rows:
        units: Counter[UUID] = Counter()
        lines: Counter[UUID] = Counter()
        for each in self.shipments(asked.warehouse_id):
            if asked.from_ <= each["occurred_at"] < (asked.to or NOW):
                units[each["product_id"]] -= each["delta"]
                lines[each["product_id"]] += 1
        measure = units if asked.by is AbcMeasure.UNITS else lines
        listed = [id for id, each in self.products.items() if each["status"] == "active" or lines[id]]
        listed.sort(key=lambda id: (-measure[id], self.products[id]["sku_key"]))
        total, rows = sum(measure.values()), []
        for rank, product_id in enumerate(listed, start=1):
            before = sum(measure[id] for id in listed[: rank - 1])
            share = 100 * measure[product_id] / total if total else 0
            through = 100 * (before + measure[product_id]) / total if total else 0
            letter = "C"
            if measure[product_id] and 100 * before < asked.b_percent * total:
                letter = "A" if 100 * before < asked.a_percent * total else "B"
            counts = {"units": units[product_id], "movements": lines[product_id]}
            shares = {"share_percent": share, "cumulative_percent": through, "abc_class": letter}
            rows.append({"rank": rank, **self._named(product_id), **counts, **shares})
        return rows

    def dead_stock(self, asked: DeadStock) -> Rows:
        by_warehouse = asked.by_warehouse or asked.warehouse_id is not None
        shipped: dict[tuple[UUID, UUID | None], datetime] = {}
        for each in sorted(self.shipments(asked.warehouse_id), key=lambda movement: movement["occurred_at"]):
            shipped[_place(each, by_warehouse)] = each["occurred_at"]
        received: dict[tuple[UUID, UUID | None], datetime] = {}
        for each in sorted(self.ledger.movements, key=lambda movement: movement["occurred_at"]):
            if each["kind"] == "receipt" and self.stands(each["command_id"]):
                received[_place(each, by_warehouse)] = each["occurred_at"]
        rows = []
        for place, (on_hand, _) in self._stock(by_warehouse, asked.warehouse_id).items():
            last = shipped.get(place)
            if on_hand > 0 and (last is None or NOW - last >= timedelta(days=asked.idle_days)):
                idle = {"last_outflow_at": last, "days_since_outflow": None if last is None else (NOW - last).days}
                facts = {"on_hand": on_hand, **idle, "last_receipt_at": received.get(place)}
                rows.append({**self._named(place[0]), **self._placed(place[1]), **facts})
        return sorted(rows, key=_order)

    def _stock(self, by_warehouse: bool, warehouse_id: UUID | None) -> dict[tuple[UUID, UUID | None], tuple[int, int]]:
        on_hand: Counter[tuple[UUID, UUID | None]] = Counter()
        reserved: Counter[tuple[UUID, UUID | None]] = Counter()
        places: set[tuple[UUID, UUID | None]] = set()
        for each in self.ledger.movements:
            if _within(each, warehouse_id):
                on_hand[_place(each, by_warehouse)] += each["delta"]
                places.add(_place(each, by_warehouse))
        holding = {
            each["id"] for each in self.ledger.reservations if each["status"] == "active" and each["expires_at"] > NOW
        }
        for each in self.ledger.reservation_lines:
            if each["reservation_id"] in holding and _within(each, warehouse_id):
                reserved[_place(each, by_warehouse)] += each["quantity"]
        return {place: (on_hand[place], reserved[place]) for place in places}

    def _lots(self, warehouse_id: UUID | None) -> Counter[tuple[UUID, UUID, str]]:
        held: Counter[tuple[UUID, UUID, str]] = Counter()
        for each in self.ledger.movements:
            if _within(each, warehouse_id):
                held[each["product_id"], each["warehouse_id"], each["lot"]] += each["delta"]
        return held

    def _ages(self, product_id: UUID, warehouse_id: UUID, lot: str, on_hand: int) -> Sequence[float]:
        """The age of every single unit on hand, in days."""
        layers: Counter[UUID] = Counter()
        moments: dict[UUID, datetime] = {}
        for each in self.ledger.movements:
            mine = (each["product_id"], each["warehouse_id"], each["lot"]) == (product_id, warehouse_id, lot)
            comes_in = each["kind"] not in ("shipment", "reversal") and self.stands(each["command_id"])
            if mine and comes_in:
                layers[each["command_id"]] += each["delta"]
                moments[each["command_id"]] = each["occurred_at"]
        ages: list[float] = []
        for command_id in sorted(layers, key=lambda id: moments[id], reverse=True):
            ages += [(NOW - moments[command_id]) // DAY] * max(0, layers[command_id])
        return [*ages, *[float("inf")] * on_hand][:on_hand]

    def _empty_ages(self, product_id: UUID, warehouse_id: UUID, names: Sequence[str]) -> Record:
        counts = {"on_hand": 0, "ages": dict.fromkeys(names, 0), "expired": 0, "expiring": 0}
        return {**self._named(product_id), **self._placed(warehouse_id), **counts}

    def _named(self, product_id: UUID) -> Record:
        product = self.products[product_id]
        return {"product_id": product_id, "sku": product["sku"], "name": product["name"]}

    def _placed(self, warehouse_id: UUID | None) -> Record:
        code = None if warehouse_id is None else self.warehouses[warehouse_id]["code"]
        return {"warehouse_id": warehouse_id, "warehouse": code}


def _within(row: Record, warehouse_id: UUID | None) -> bool:
    return warehouse_id in (None, row["warehouse_id"])


def _place(row: Record, by_warehouse: bool) -> tuple[UUID, UUID | None]:
    return row["product_id"], row["warehouse_id"] if by_warehouse else None


def _order(row: Record) -> tuple[str, str]:
    return row["sku"].casefold(), (row["warehouse"] or "").casefold()
