from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.clock import EARLIEST
from warehouse.exchange.report_arithmetic import (
    Ageing,
    Ranking,
    ages_of,
    bucket_labels,
    daily_outflow,
    days_of_cover,
    whole_days,
)
from warehouse.exchange.report_model import AbcAnalysis, AbcMeasure, AbcRow, LotAge, Shipped, StockAgeing

TODAY = date(2026, 6, 1)
DAY = timedelta(days=1)
units = st.integers(0, 50)


@pytest.mark.parametrize(
    ("available", "outflow", "days", "cover"),
    [
        (10, 28, 28, 10.0),
        (10, 3, 28, 93.3),
        (0, 3, 28, 0.0),
        (-5, 3, 28, 0.0),
        (10, 0, 28, None),
        (0, 0, 28, None),
        (9_007_199_254_740_991, 1, 3660, 3.2966349272352e19),
    ],
)
def test_cover_is_what_is_available_by_what_goes_out_a_day(
    available: int, outflow: int, days: int, cover: float | None
) -> None:
    found = days_of_cover(available, outflow, days)
    assert found == (cover if cover is None else pytest.approx(cover))


def test_a_daily_outflow_is_rounded() -> None:
    assert daily_outflow(1, 28) == 0.0357
    assert daily_outflow(0, 28) == 0


def test_days_are_whole_and_never_negative() -> None:
    assert [whole_days(age) for age in (2 * DAY - timedelta(seconds=1), DAY, -DAY)] == [1, 1, 0]


class TestAges:
    def test_buckets_are_named_by_their_first_and_last_day(self) -> None:
        assert bucket_labels((30, 60, 180)) == ["days_0_30", "days_31_60", "days_61_180", "days_181_up"]
        assert bucket_labels((0,)) == ["days_0_0", "days_1_up"]

    @pytest.mark.parametrize(
        ("on_hand", "arrived", "ages"),
        [
            (10, [10, 0], [10, 0, 0]),
            (10, [4, 3], [4, 3, 3]),
            (3, [4, 3], [3, 0, 0]),
            (10, [0, 0], [0, 0, 10]),
        ],
    )
    def test_what_is_on_hand_came_in_last(self, on_hand: int, arrived: list[int], ages: list[int]) -> None:
        assert ages_of(on_hand, arrived) == ages

    @given(st.lists(st.tuples(st.integers(0, 3), units), max_size=20), st.data())
    def test_it_is_the_queue_of_what_came_in_less_what_went_out(
        self, receipts: list[tuple[int, int]], data: st.DataObject
    ) -> None:
        """Receipts with their age bucket, oldest first; what goes out leaves at the head of the queue."""
        receipts.sort(reverse=True)
        queue = [bucket for bucket, count in receipts for _ in range(count)]
        gone = data.draw(st.integers(0, len(queue)))
        left = queue[gone:]
        arrived = [sum(count for age, count in receipts if age == bucket) for bucket in range(3)]
        assert ages_of(len(left), arrived) == [left.count(bucket) for bucket in range(4)]


def lot(product: int, warehouse: int, on_hand: int, arrived: Sequence[int], expires_on: date | None = None) -> LotAge:
    return LotAge(UUID(int=product), f"S{product}", "Bread", UUID(int=warehouse), "W", on_hand, expires_on, arrived)


class TestAgeing:
    def test_lots_of_one_place_become_one_row_wherever_the_batches_end(self) -> None:
        lots = [
            lot(1, 1, 5, [5], TODAY - DAY),
            lot(1, 1, 4, [1], TODAY),
            lot(1, 1, 3, [0], TODAY + 30 * DAY),
            lot(1, 1, 2, [0], TODAY + 31 * DAY),
            lot(1, 2, 1, [0]),
            lot(2, 2, 7, [9]),
        ]
        for cut in range(len(lots) + 1):
            ageing = Ageing(StockAgeing(buckets=(30,)), TODAY)
            rows = [*ageing.take(lots[:cut]), *ageing.take(lots[cut:]), *ageing.rest()]
            assert [(row.sku, row.on_hand, *row.ages.values(), row.expired, row.expiring) for row in rows] == [
                ("S1", 14, 6, 8, 5, 7),
                ("S1", 1, 0, 1, 0, 0),
                ("S2", 7, 7, 0, 0, 0),
            ]

    def test_of_nothing_there_are_no_rows(self) -> None:
        ageing = Ageing(StockAgeing(), TODAY)
        assert [*ageing.take([]), *ageing.rest()] == []


def ranked(*shipped: int, movements: Sequence[int] = (), by: AbcMeasure = AbcMeasure.UNITS) -> list[AbcRow]:
    counts = movements or shipped
    total = sum(shipped if by is AbcMeasure.UNITS else counts)
    ranking = Ranking(AbcAnalysis(EARLIEST, by=by))
    facts = enumerate(zip(shipped, counts, strict=True))
    return [ranking.row(Shipped(UUID(int=number), f"S{number}", "Bread", *each, total)) for number, each in facts]


def classes(*shipped: int) -> str:
    return "".join(row.abc_class for row in ranked(*shipped))


class TestRanking:
    def test_classes_end_where_the_cumulative_share_reaches_their_limit(self) -> None:
        assert classes(50, 30, 10, 5, 4, 1) == "AABBCC"
        assert classes(80, 15, 5) == "ABC"

    def test_the_product_that_reaches_a_limit_is_still_within(self) -> None:
        assert classes(79, 15, 6) == "AAB"
        assert classes(100) == "A"
        assert classes(96, 4) == "AC"

    def test_nothing_shipped_is_class_c_with_no_share(self) -> None:
        rows = ranked(1, 0, 0)
        assert [(row.abc_class, row.share_percent, row.cumulative_percent) for row in rows] == [
            ("A", 100.0, 100.0),
            ("C", 0.0, 100.0),
            ("C", 0.0, 100.0),
        ]
        assert [(row.rank, row.abc_class, row.cumulative_percent) for row in ranked(0, 0)] == [(1, "C", 0), (2, "C", 0)]

    def test_movements_can_be_the_measure(self) -> None:
        rows = ranked(1, 100, movements=(9, 1), by=AbcMeasure.MOVEMENTS)
        assert [(row.units, row.movements, row.share_percent, row.abc_class) for row in rows] == [
            (1, 9, 90.0, "A"),
            (100, 1, 10.0, "B"),
        ]

    @given(st.lists(units, min_size=1))
    def test_class_a_has_at_least_its_share_with_the_fewest_products(self, shipped: list[int]) -> None:
        shipped.sort(reverse=True)
        rows, total = ranked(*shipped), sum(shipped)
        inside = [row.units for row in rows if row.abc_class == "A"]
        assert 100 * sum(inside) >= 80 * total
        assert not inside or 100 * sum(inside[:-1]) < 80 * total
        assert [row.abc_class for row in rows] == sorted(row.abc_class for row in rows)
        assert rows[-1].cumulative_percent == (100.0 if total else 0.0)
