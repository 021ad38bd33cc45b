"""What the ledger should do, in plain Python: no database, no concurrency, no time."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum

STRICT, OVERDRAWABLE, TRACKED = "strict", "overdrawable", "tracked"
PRODUCTS = (STRICT, OVERDRAWABLE, TRACKED)
LOTS = {"late": 2, "early": 1, "never": 3}
"""The lots of the tracked product, with their places in the order of expiry."""
STORAGE = {"north": ("a", "b"), "south": ("c",)}
"""Storage locations by warehouse, by code."""
RECEIVING = {"north": "in", "south": "c"}
"""Where what comes into a warehouse is put."""
LOCATIONS = ("a", "b", "in", "c")


class Result(StrEnum):
    DONE = "done"
    SHORT = "insufficient_stock"
    MISMATCH = "count_mismatch"
    ENDED = "reservation_not_active"
    REVERSED = "already_reversed"


@dataclass(frozen=True)
class Key:
    product: str
    location: str
    lot: str


@dataclass(frozen=True)
class Line:
    """At a location or in a warehouse; a tracked product's lot may be left open where stock goes."""

    product: str
    quantity: int
    location: str | None = None
    warehouse: str | None = None
    lot: str | None = None


@dataclass
class Hold:
    parts: list[tuple[Key, int]]
    active: bool = True


@dataclass
class Change:
    """The net effect of one command on each balance."""

    on_hand: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    reserved: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))


class Short(Exception):
    pass


class Model:
    def __init__(self) -> None:
        self.on_hand: defaultdict[Key, int] = defaultdict(int)
        self.reserved: defaultdict[Key, int] = defaultdict(int)
        self.versions: defaultdict[Key, int] = defaultdict(int)
        self.overdrawable = {OVERDRAWABLE}
        """The products whose stock may go below zero at present."""

    def available(self, key: Key) -> int:
        return self.on_hand[key] - self.reserved[key]

    def take(self, lines: list[Line]) -> list[tuple[int, Key, int]]:
        """(line, balance, quantity) of what leaves or is held. Raises `Short`."""
        taken: defaultdict[Key, int] = defaultdict(int)
        parts: list[tuple[int, Key, int]] = []
        for number in sorted(range(len(lines)), key=lambda n: (lines[n].location is None, lines[n].lot is None)):
            for key, quantity in self._parts(lines[number], taken):
                taken[key] += quantity
                parts.append((number, key, quantity))
        return sorted(parts, key=lambda part: part[0])

    def _parts(self, line: Line, taken: defaultdict[Key, int]) -> list[tuple[Key, int]]:
        if line.location is not None and (line.lot or line.product != TRACKED):
            return [(Key(line.product, line.location, line.lot or ""), line.quantity)]
        candidates = self._candidates(line)
        parts, missing = [], line.quantity
        for key in candidates:
            if (part := min(missing, self.available(key) - taken[key])) > 0:
                parts.append((key, part))
                missing -= part
        if missing and line.product in self.overdrawable:
            last, quantity = parts.pop() if parts else (Key(line.product, STORAGE[line.warehouse or ""][0], ""), 0)
            parts.append((last, quantity + missing))
            missing = 0
        if missing:
            raise Short
        return parts

    def _candidates(self, line: Line) -> list[Key]:
        """First expired first, then by lot and location."""
        places = (line.location,) if line.location else STORAGE[line.warehouse or ""]
        keys = [key for key in self.on_hand if key.product == line.product and key.location in places]
        chosen = [key for key in keys if line.lot in (None, key.lot)]
        return sorted(chosen, key=lambda key: (LOTS.get(key.lot, 0), key.lot, key.location))

    def put(self, line: Line) -> Key:
        return Key(line.product, line.location or RECEIVING[line.warehouse or ""], line.lot or "")

    def apply(self, change: Change) -> None:
        """All of it or, with `Short` raised, nothing."""
        keys = {*change.on_hand, *change.reserved}
        for key in keys:
            self._check(key, change.on_hand[key], change.reserved[key])
        for key in keys:
            self.on_hand[key] += change.on_hand[key]
            self.reserved[key] += change.reserved[key]
            self.versions[key] += 1

    def _check(self, key: Key, on_hand: int, reserved: int) -> None:
        if key.product in self.overdrawable:
            return
        after = self.on_hand[key] + on_hand, self.reserved[key] + reserved
        if (on_hand < 0 and after[0] < 0) or (on_hand < reserved and after[0] < after[1]):
            raise Short

    def copy(self) -> "Model":
        twin = Model()
        twin.on_hand.update(self.on_hand)
        twin.reserved.update(self.reserved)
        twin.versions.update(self.versions)
        twin.overdrawable = set(self.overdrawable)
        return twin


def without_lot(line: Line) -> Line:
    return line if line.product == TRACKED else replace(line, lot=None)
