from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.exchange.occurrences import Occurrences
from warehouse.ids import new_id, stable_id


@given(rows=st.lists(st.integers(0, 5)))
def test_each_row_is_told_how_often_it_came_before(rows: list[int]) -> None:
    ids = [new_id() for _ in range(6)]
    occurrences, expected = Occurrences(), Counter[int]()
    for row in rows:
        assert occurrences.count(ids[row]) == expected[row]
        expected[row] += 1
    occurrences.close()


@pytest.mark.parametrize("slot_bits", [1, 3, 6])
@given(rows=st.lists(st.integers(0, 40)))
def test_what_no_longer_finds_room_in_memory_counts_too(slot_bits: int, rows: list[int]) -> None:
    occurrences, expected = Occurrences(slot_bits), Counter[int]()
    for row in rows:
        assert occurrences.count(stable_id(str(row))) == expected[row]
        expected[row] += 1
    occurrences.close()
