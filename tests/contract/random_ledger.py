"""A ledger with everything that makes reports hard, written straight into the tables: commands that were recorded long
after they happened, others at the very moments where ranges end, lots, transfers within and between warehouses,
reversals of reversals, overdrawn and archived products, reservations in force and past their time."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert

from warehouse.catalogue.model import ProductStatus, Tracking, sku_key
from warehouse.stock.model import NO_LOT, MovementKind, ReservationStatus
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import (
    balances,
    locations,
    lots,
    movements,
    products,
    reservation_lines,
    reservations,
    reversals,
    warehouses,
)

NOW = datetime(2026, 6, 1, 13, 30, 0, 250_000, tzinfo=UTC)
DAY = timedelta(days=1)
HISTORY = 400
Record = dict[str, Any]
Key = tuple[UUID, UUID, str]


@dataclass
class RandomLedger:
    """Rows as the tables have them. `stamps` are what every table wants to know and no report asks."""

    random: Random
    products: list[Record] = field(default_factory=list)
    warehouses: list[Record] = field(default_factory=list)
    locations: list[Record] = field(default_factory=list)
    lots: list[Record] = field(default_factory=list)
    movements: list[Record] = field(default_factory=list)
    reversals: list[Record] = field(default_factory=list)
    reservations: list[Record] = field(default_factory=list)
    reservation_lines: list[Record] = field(default_factory=list)

    @classmethod
    def grown(cls, seed: int, commands: int) -> "RandomLedger":
        ledger = cls(Random(seed))  # noqa: S311 (not for secrets)
        for number in range(3):
            ledger._add_warehouse(number)
        for number in range(24):
            ledger._add_product(number)
        for _ in range(commands):
            ledger._command()
        for _ in range(commands // 10):
            ledger._reserve()
        return ledger

    def id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def balances(self) -> list[Record]:
        on_hand: Counter[Key] = Counter()
        reserved: Counter[Key] = Counter()
        places: dict[Key, UUID] = {}
        for each in self.movements:
            on_hand[_key(each)] += each["delta"]
            places[_key(each)] = each["warehouse_id"]
        active = {each["id"] for each in self.reservations if each["status"] == ReservationStatus.ACTIVE}
        for each in self.reservation_lines:
            if each["reservation_id"] in active:
                reserved[_key(each)] += each["quantity"]
        return [
            {
                "product_id": key[0],
                "location_id": key[1],
                "lot": key[2],
                "warehouse_id": place,
                "on_hand": on_hand[key],
                "reserved": reserved[key],
                "below_zero_allowed": True,
                "version": 1,
                "updated_at": NOW,
            }
            for key, place in places.items()
        ]

    async def write(self, database: SqlDatabase) -> None:
        tables: list[tuple[Table, list[Record]]] = [
            (warehouses, self.warehouses),
            (locations, self.locations),
            (products, self.products),
            (lots, self.lots),
            (balances, self.balances()),
            (movements, self.movements),
            (reversals, self.reversals),
            (reservations, self.reservations),
            (reservation_lines, self.reservation_lines),
        ]
        async with database.connect(read_only=False) as connection:
            for table, rows in tables:
                for start in range(0, len(rows), 1000):
                    await connection.execute(insert(table), rows[start : start + 1000])
            await connection.commit()

    def _add_warehouse(self, number: int) -> None:
        # Codes sort otherwise than they were made.
        code = f"W{9 - number}"
        warehouse = {"id": self.id(), "code": code, "code_key": code.casefold(), "name": code, "address": None}
        self.warehouses.append({**warehouse, "status": "active", **_stamps()})
        for place in range(3):
            code = f"{'zab'[place]}-{place}"
            location = {"id": self.id(), "warehouse_id": warehouse["id"], "parent_id": None, "name": None}
            self.locations.append(
                {**location, "code": code, "code_key": code.casefold(), "kind": "storage", **_stamps()}
            )

    def _add_product(self, number: int) -> None:
        sku = f"{self.random.choice('=AbCd')}{number:03}"
        product = {
            "id": self.id(),
            "sku": sku,
            "sku_key": sku_key(sku),
            "name": self.random.choice(["Rye bread", "@home", 'Milk, 1 "l"', "Ærø øl"]),
            "description": None,
            "category": None,
            "unit": "each",
            "barcodes": [],
            "reorder_point": self.random.choice([None, 0, 40, 400]),
            "tracking": Tracking.LOT if number % 3 == 0 else Tracking.NONE,
            "negative_stock": "allow",
            "attributes": {},
            "status": ProductStatus.ARCHIVED if number % 7 == 0 else ProductStatus.ACTIVE,
            "search_text": "",
            "segment": 0,
            **_stamps(),
        }
        self.products.append(product)
        if product["tracking"] == Tracking.LOT:
            for lot in ("L1", "L2", "-L3"):
                expires_on = self.random.choice([None, NOW.date() + self.random.randrange(-30, 60) * DAY])
                self.lots.append({"product_id": product["id"], "lot": lot, "expires_on": expires_on})

    def _command(self) -> None:
        kind = self.random.choice(
            [*[MovementKind.RECEIPT] * 3, *[MovementKind.SHIPMENT] * 4, *MovementKind, MovementKind.REVERSAL]
        )
        if kind is MovementKind.REVERSAL:
            self._reverse()
            return
        lines = []
        for _ in range(self.random.randrange(1, 4)):
            lines += self._lines(kind)
        self._post(kind, lines)

    def _lines(self, kind: MovementKind) -> list[Record]:
        # The last products are never moved, some are never shipped.
        product = self.random.choice(self.products[:-2])
        tracked = product["tracking"] == Tracking.LOT
        lot = self.random.choice(["L1", "L2", "-L3"]) if tracked else NO_LOT
        units = self.random.randrange(1, 60)
        source, target = self.random.sample(self.locations, 2)
        match kind:
            case MovementKind.RECEIPT:
                return [_line(product, target, lot, units * 2)]
            case MovementKind.SHIPMENT:
                idle = product in self.products[:3]
                return [] if idle else [_line(product, source, lot, -units)]
            case MovementKind.TRANSFER:
                return [_line(product, source, lot, -units), _line(product, target, lot, units)]
        return [_line(product, target, lot, self.random.choice([-units, 0, units]))]

    def _post(self, kind: MovementKind, lines: list[Record]) -> UUID:
        command_id, moments = self.id(), self._moments()
        for number, each in enumerate(lines, start=1):
            said = {"reason": None, "reference": None, "actor": "tester"}
            written = {"id": self.id(), "command_id": command_id, "line": number, "kind": kind}
            self.movements.append({**written, **each, **said, **moments})
        return command_id

    def _moments(self) -> Record:
        if self.random.random() < 0.2:
            # Just where a range of days ends or begins.
            edge = timedelta(microseconds=self.random.choice([-1, 0, 1]))
            occurred_at = NOW - self.random.choice([1, 7, 28, 31, 61, 90, 91, 181]) * DAY + edge
        else:
            occurred_at = NOW - self.random.random() * HISTORY * DAY
        late = self.random.choice([timedelta(0), timedelta(seconds=1), self.random.random() * 60 * DAY])
        return {"occurred_at": occurred_at, "recorded_at": min(NOW, occurred_at + late)}

    def _reverse(self) -> None:
        reversed_before = {each["command_id"] for each in self.reversals}
        again = [each["reversal_id"] for each in self.reversals if each["reversal_id"] not in reversed_before]
        first = sorted({each["command_id"] for each in self.movements} - reversed_before)
        if not first:
            return
        undone = self.random.choice(again if again and self.random.random() < 0.4 else first)
        lines = [
            {
                **{name: each[name] for name in ("product_id", "location_id", "lot", "warehouse_id")},
                "delta": -each["delta"],
            }
            for each in self.movements
            if each["command_id"] == undone
        ]
        reversal_id = self._post(MovementKind.REVERSAL, lines)
        self.reversals.append({"command_id": undone, "reversal_id": reversal_id, "recorded_at": NOW})

    def _reserve(self) -> None:
        status = self.random.choice([*[ReservationStatus.ACTIVE] * 3, *ReservationStatus])
        # At its very expiry a reservation holds nothing any more.
        expires_at = NOW + self.random.choice([-DAY, timedelta(0), timedelta(microseconds=1), DAY])
        reservation = {"id": self.id(), "status": status, "reference": None, "reason": None, "actor": "tester"}
        self.reservations.append({**reservation, "expires_at": expires_at, **_stamps()})
        for line, moved in enumerate(self.random.sample(self.movements, 2), start=1):
            key = {name: moved[name] for name in ("product_id", "location_id", "lot", "warehouse_id")}
            quantity = self.random.randrange(1, 30)
            self.reservation_lines.append(
                {"reservation_id": reservation["id"], "line": line, **key, "quantity": quantity}
            )


def _line(product: Record, location: Record, lot: str, delta: int) -> Record:
    return {
        "product_id": product["id"],
        "location_id": location["id"],
        "lot": lot,
        "warehouse_id": location["warehouse_id"],
        "delta": delta,
    }


def _key(row: Record) -> Key:
    return row["product_id"], row["location_id"], row["lot"]


def _stamps() -> Record:
    return {"version": 1, "created_at": NOW, "updated_at": NOW}
