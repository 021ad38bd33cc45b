"""The ring against a list."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.resilience.window import FAILED, SLOW, Window


@given(st.integers(1, 9), st.lists(st.integers(0, 3), max_size=60))
def test_it_counts_what_is_in_the_last_results(size: int, results: list[int]) -> None:
    window, last = Window(size), deque[int](maxlen=size)
    for result in results:
        window.record(result)
        last.append(result)
        assert window.recorded == len(last)
        assert window.failures == sum(bool(each & FAILED) for each in last)
        assert window.slow == sum(bool(each & SLOW) for each in last)


def test_a_slow_failure_counts_as_both() -> None:
    window = Window(3)
    window.record(FAILED | SLOW)
    assert (window.failures, window.slow, window.recorded) == (1, 1, 1)


@pytest.mark.parametrize("size", [1, 100])
def test_it_keeps_no_more_than_its_size(size: int) -> None:
    window = Window(size)
    for _ in range(1_000):
        window.record(FAILED)
    assert (window.failures, window.recorded, len(window._results)) == (size, size, size)
