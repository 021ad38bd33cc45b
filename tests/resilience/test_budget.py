"""Retries are a share of calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.resilience.budget import RetryBudget


@given(
    ratio=st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 1.0]),
    floor=st.integers(0, 5),
    calls=st.lists(st.integers(0, 20), max_size=50),
)
def test_in_any_stretch_retries_are_a_share_of_its_calls_and_the_floor(
    ratio: float, floor: int, calls: list[int]
) -> None:
    """As many retries as there can be after each batch of calls, and then every stretch is looked at."""
    budget, retries = RetryBudget(ratio, floor), []
    for number in calls:
        for _ in range(number):
            budget.earn()
        retries.append(sum(1 for _ in iter(budget.spend, False)))
    for begin in range(len(calls)):
        for end in range(begin, len(calls)):
            most = ratio * sum(calls[begin : end + 1]) + max(floor, 1)
            assert sum(retries[begin : end + 1]) <= most + 1e-9


def test_it_is_spent_to_the_last() -> None:
    budget = RetryBudget(0.2, 3)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    assert budget.left == 0


def test_five_calls_pay_for_a_retry() -> None:
    budget = RetryBudget(0.2, 0)
    for _ in range(4):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


@pytest.mark.parametrize(("floor", "left"), [(0, 1), (1, 1), (10, 10)])
def test_a_long_time_without_trouble_pays_for_no_storm(floor: int, left: int) -> None:
    budget = RetryBudget(0.2, floor)
    for _ in range(10_000):
        budget.earn()
    assert budget.left == left


def test_nothing_is_kept_above_the_floor_not_even_a_part_of_a_retry() -> None:
    budget = RetryBudget(0.3, 1)
    budget.spend()
    for _ in range(4):
        budget.earn()
    assert budget.spend()
    for _ in range(3):
        budget.earn()
    assert not budget.spend()
