"""Ids sort by the time of their making and never meet; stable ids tell their parts apart."""

import time
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.ids import new_id, stable_id

MANY = 100_000
SEPARATOR = "\x1f"

letters = st.characters(exclude_characters=SEPARATOR, exclude_categories=["Cs"])
parts = st.lists(st.text(letters), min_size=1, max_size=5)


def milliseconds(made: UUID) -> int:
    return made.int >> 80


def moment(made: UUID) -> int:
    """The 60 bits of time."""
    return milliseconds(made) << 12 | (made.int >> 64) & 0xFFF


def test_a_new_id_is_a_uuid_of_version_7_made_now() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= milliseconds(made) <= time.time_ns() // 1_000_000


def test_ids_sort_by_the_time_of_their_making(monkeypatch: pytest.MonkeyPatch) -> None:
    start = 1_795_000_000_000_000_000
    ticks = [start + step * 1_000 for step in range(2_500)]
    clock = iter(ticks)
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [new_id() for _ in ticks]
    assert all(moment(earlier) < moment(later) for earlier, later in pairwise(made))
    assert made == sorted(made)
    assert [milliseconds(each) for each in made] == [tick // 1_000_000 for tick in ticks]


def test_ids_of_one_instant_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_000_000_000_999_999)
    made = {new_id() for _ in range(MANY)}
    assert len(made) == MANY
    assert len({moment(each) for each in made}) == 1
    assert all((each.version, each.variant) == (7, RFC_4122) for each in made)


def test_ids_are_unique() -> None:
    assert len({new_id() for _ in range(MANY)}) == MANY


@given(parts)
def test_a_stable_id_is_a_uuid_of_version_8_and_stays(content: list[str]) -> None:
    made = stable_id(*content)
    assert (made.version, made.variant) == (8, RFC_4122)
    assert made == stable_id(*content) == UUID(int=made.int)
    assert made.is_safe is UUID(int=made.int).is_safe


def test_stable_ids_stay_the_same_from_release_to_release() -> None:
    assert stable_id("movement", "A-1", "") == UUID("639faf00-5217-832c-89f4-77339c852390")


@given(parts, parts)
def test_different_parts_have_different_stable_ids(one: list[str], other: list[str]) -> None:
    assert (stable_id(*one) == stable_id(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab", "")),
        (("a", "b"), ("b", "a")),
        (("a", ""), ("", "a")),
        (("a",), ("a", "")),
        (("",), ("", "")),
    ],
)
def test_what_belongs_to_another_part_counts(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert stable_id(*one) != stable_id(*other)


@pytest.mark.parametrize("content", [(f"a{SEPARATOR}b",), ("a", SEPARATOR), (SEPARATOR, "")])
def test_no_part_may_pass_for_two(content: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="separator"):
        stable_id(*content)
