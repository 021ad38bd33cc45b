"""What reports compute that is not the database's to compute."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from warehouse.exchange.report_model import (
    AbcAnalysis,
    AbcClass,
    AbcMeasure,
    AbcRow,
    LotAge,
    Shipped,
    StockAgeing,
    StockAgeingRow,
)

PERCENT_DIGITS = 4
RATE_DIGITS = 4
COVER_DIGITS = 1


def daily_outflow(outflow: int, days: int) -> float:
    return round(outflow / days, RATE_DIGITS)


def days_of_cover(available: int, outflow: int, days: int) -> float | None:
    """For how long what is available lasts where as much goes out as did in these days; None where nothing did."""
    return round(max(0, available) * days / outflow, COVER_DIGITS) if outflow else None


def whole_days(age: timedelta) -> int:
    """Never negative: the clock of whoever wrote may be ahead of ours."""
    return max(0, age.days)


def bucket_labels(buckets: Sequence[int]) -> list[str]:
    """`days_0_30`, `days_31_60`… and, for what is older, `days_61_up`."""
    starts = [0, *(last + 1 for last in buckets)]
    return [*(f"days_{start}_{last}" for start, last in zip(starts, buckets, strict=False)), f"days_{starts[-1]}_up"]


def ages_of(on_hand: int, arrived: Sequence[int]) -> list[int]:
    """First in goes first out, so what is on hand are the latest arrivals: it is sought among them newest first, and
    what they do not explain is older."""
    ages = []
    for units in arrived:
        ages.append(min(on_hand, units))
        on_hand -= ages[-1]
    return [*ages, on_hand]


class Ageing:
    """Makes one row of all lots of a product in a warehouse. They have to come one after the other."""

    def __init__(self, parameters: StockAgeing, today: date) -> None:
        self._labels = bucket_labels(parameters.buckets)
        self._today = today
        self._horizon = today + timedelta(days=parameters.expiring_days)
        self._lots: list[LotAge] = []

    def take(self, lots: Iterable[LotAge]) -> Iterator[StockAgeingRow]:
        """The rows that are complete."""
        for lot in lots:
            if self._lots and self._lots[0].place != lot.place:
                yield from self.rest()
            self._lots.append(lot)

    def rest(self) -> Iterator[StockAgeingRow]:
        """The last row."""
        if self._lots:
            yield self._row(self._lots)
        self._lots = []

    def _row(self, lots: Sequence[LotAge]) -> StockAgeingRow:
        first = lots[0]
        ages = [sum(units) for units in zip(*(ages_of(lot.on_hand, lot.arrived) for lot in lots), strict=True)]
        dated = [(lot.expires_on, lot.on_hand) for lot in lots if lot.expires_on is not None]
        return StockAgeingRow(
            product_id=first.product_id,
            sku=first.sku,
            name=first.name,
            warehouse_id=first.warehouse_id,
            warehouse=first.warehouse,
            on_hand=sum(lot.on_hand for lot in lots),
            ages=dict(zip(self._labels, ages, strict=True)),
            expired=sum(units for day, units in dated if day < self._today),
            expiring=sum(units for day, units in dated if self._today <= day <= self._horizon),
        )


class Ranking:
    """Classes of products that come by what went out of them, most first."""

    def __init__(self, parameters: AbcAnalysis) -> None:
        self._parameters = parameters
        self._rank = 0
        self._before = 0

    def row(self, shipped: Shipped) -> AbcRow:
        units = shipped.units if self._parameters.by is AbcMeasure.UNITS else shipped.movements
        abc_class = self._class(units, shipped.total)
        self._rank += 1
        self._before += units
        return AbcRow(
            rank=self._rank,
            product_id=shipped.product_id,
            sku=shipped.sku,
            name=shipped.name,
            units=shipped.units,
            movements=shipped.movements,
            share_percent=_percent(units, shipped.total),
            cumulative_percent=_percent(self._before, shipped.total),
            abc_class=abc_class,
        )

    def _class(self, units: int, total: int) -> AbcClass:
        # By where its part of the whole begins: so the product that reaches the limit is still within, and the one
        # that alone is more than the limit is the most important, not the least.
        if not units:
            return AbcClass.C
        begins = 100 * self._before
        if begins < self._parameters.a_percent * total:
            return AbcClass.A
        return AbcClass.B if begins < self._parameters.b_percent * total else AbcClass.C


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, PERCENT_DIGITS) if whole else 0.0
