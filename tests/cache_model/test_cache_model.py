"""No read is older than what was acknowledged before it began: in every state that the protocol of the cache can reach.

The protocol is searched as it was designed, then with one thing done otherwise at a time: what it rests on must break
it, and what it does not rest on must not. `WAREHOUSE_TEST_STEPS=long` searches larger spaces.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.cache_model import fence, protocol
from tests.cache_model.composition import Model, search
from tests.cache_model.fence import FencedProtocol
from tests.cache_model.protocol import Key, Setup, TagProtocol, Write
from tests.cache_model.search import TooManyStates, explore

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"
WANTED = 5_000_000 if LONG else 1_000_000
LIMIT = 10_000_000

A, B, BOTH = 0, 1, 2
"""Two items, the tags of each, and one that a write of either releases."""

ITEM = Setup((Key((A,), (A,)),), (Write(A, (A,)),), flights=2, writers=1, versions=2)
ITEM_AND_LIST = replace(
    ITEM,
    keys=(Key((A,), (A,)), Key((A, B), (BOTH,))),
    writes=(Write(A, (A, BOTH)), Write(B, (B, BOTH))),
    versions=1,
)
PAGE = Setup((Key((A, B), (A, B)),), (Write(A, (A,)), Write(B, (B,))), flights=2, writers=1, versions=1)
ITEM_AND_PAGE = replace(PAGE, keys=(Key((A,), (A,)), Key((A, B), (A, B))))
PAGE_OF_THREE_TAGS = replace(ITEM_AND_LIST, keys=(Key((A, B), (A, B, BOTH)),))
FENCED = fence.Setup(processes=2, flights=1, writers=1, versions=2, cycles=1)

SPACES: dict[str, Model[Any, Any]] = {
    "an item": TagProtocol(replace(ITEM, flights=4, writers=2, versions=3)),
    "an item, copies": TagProtocol(replace(ITEM, flights=3, writers=2, versions=3, copies=True)),
    "an item and a page, copies": TagProtocol(replace(ITEM_AND_PAGE, copies=True)),
    "an item and a list": TagProtocol(replace(ITEM_AND_LIST, writers=2, versions=2)),
    "an item and a page": TagProtocol(replace(ITEM_AND_PAGE, versions=2)),
    "a page of three tags": TagProtocol(replace(PAGE_OF_THREE_TAGS, versions=2)),
    "fence": FencedProtocol(FENCED),
    "fence, two flights": FencedProtocol(replace(FENCED, flights=2, versions=1)),
    "fence, two writers": FencedProtocol(replace(FENCED, writers=2)),
    "fence, twice": FencedProtocol(replace(FENCED, versions=1, cycles=2)),
}
LARGER: dict[str, Model[Any, Any]] = {
    "an item and a list, three flights": TagProtocol(replace(ITEM_AND_LIST, flights=3, writers=2)),
    "an item and a page, two writers": TagProtocol(replace(ITEM_AND_PAGE, writers=2, versions=2)),
    "a page, three flights": TagProtocol(replace(PAGE, flights=3, writers=2, versions=2)),
    "a page of three tags, three flights": TagProtocol(replace(PAGE_OF_THREE_TAGS, flights=3, writers=2)),
    "fence, three flights": FencedProtocol(replace(FENCED, flights=3, versions=1)),
    "fence, two flights, two writers": FencedProtocol(replace(FENCED, flights=2, writers=2)),
    "fence, three processes": FencedProtocol(replace(FENCED, processes=3)),
    "fence, three versions": FencedProtocol(replace(FENCED, writers=2, versions=3)),
    "fence, twice, two flights": FencedProtocol(replace(FENCED, flights=2, versions=1, cycles=2)),
}


def test_no_read_is_older_than_what_was_acknowledged_before_it_began() -> None:
    spaces = SPACES | LARGER if LONG else SPACES
    assert sum(holds(model, name) for name, model in spaces.items()) >= WANTED


# What the tags rest on


def test_a_writer_that_acknowledges_before_release_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(acknowledge_before_release=True)))


def test_a_writer_that_forgets_a_tag_is_caught() -> None:
    breaks(TagProtocol(ITEM_AND_LIST, protocol.Variant(release_of_one_tag=True)))


def test_a_fill_with_the_generations_current_at_fill_time_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(fill_with_current_generations=True)))


def test_generations_that_are_counters_are_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(counters=True)))


def test_a_missing_generation_that_equals_a_missing_one_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(missing_equals_missing=True)))


def test_a_query_before_its_generations_are_read_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(query_before_generations=True)))


def test_a_query_in_a_snapshot_from_before_its_generations_were_read_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(snapshot_before_generations=True)))


def test_a_reader_that_joins_a_flight_after_its_query_is_caught() -> None:
    breaks(TagProtocol(ITEM, protocol.Variant(join_after_query=True)))


# What the fence rests on


def test_a_fence_without_the_wait_is_caught() -> None:
    breaks(fenced(fence_without_wait=True))


def test_enabling_without_the_wait_is_caught() -> None:
    breaks(fenced(enable_without_wait=True))


def test_a_cycle_without_any_new_epoch_is_caught() -> None:
    breaks(fenced(fence_keeps_epoch=True, enable_keeps_epoch=True))


def test_a_writer_that_ignores_a_failed_release_is_caught() -> None:
    breaks(fenced(failed_release_ignored=True))


def test_a_writer_that_trusts_an_off_view_is_caught() -> None:
    breaks(fenced(off_view_trusted=True))


def test_a_writer_that_looks_at_its_lease_only_before_the_commit_is_caught() -> None:
    breaks(fenced(epoch_chosen_before_commit=True, lapse_during_release_ignored=True))


def test_a_replay_without_release_is_caught() -> None:
    breaks(fenced(replay_without_release=True))


def test_a_lease_counted_from_the_receipt_of_the_poll_is_caught() -> None:
    breaks(fenced(lease_from_receipt=True))


def test_a_reader_that_uses_a_lapsed_view_is_caught() -> None:
    breaks(fenced(lapsed_view_used=True))


def test_a_reader_without_a_view_that_joins_a_flight_before_its_miss_is_caught() -> None:
    breaks(fenced(join_before_miss=True))


# What it does not rest on


def test_one_new_epoch_in_a_cycle_is_enough() -> None:
    holds(fenced(enable_keeps_epoch=True), "enabling keeps the epoch")


def test_one_look_at_the_lease_after_the_commit_is_enough() -> None:
    holds(fenced(lapse_during_release_ignored=True), "a look between commit and RELEASE")
    holds(fenced(epoch_chosen_before_commit=True), "a look after RELEASE")


def test_a_fill_into_another_epoch_than_its_read_is_only_useless() -> None:
    holds(fenced(fill_into_current_epoch=True), "fill into the current epoch")


def test_a_failed_release_in_an_epoch_that_is_over_needs_no_fence() -> None:
    holds(fenced(fence_of_own_epoch_only=True), "fence of the own epoch only")


# The search itself


@pytest.mark.parametrize("fault", [field.name for field in fields(protocol.Variant) if field.name != "counters"])
def test_renaming_generations_changes_no_verdict(fault: str) -> None:
    renamed = TagProtocol(ITEM_AND_LIST, protocol.Variant(**{fault: True}))
    numbered = replace(renamed, setup=replace(renamed.setup, generations=4))
    assert breaks(numbered) == breaks(renamed)


def test_no_read_is_too_old_with_generations_that_have_numbers_either() -> None:
    holds(TagProtocol(replace(ITEM, generations=4)), "numbered generations")


def test_the_trace_of_a_violation_is_a_shortest_one() -> None:
    found = explore([0], count_or_double, lambda number: number == 8)
    assert found.violation is not None
    assert [number for _, number in found.violation] == [0, 1, 2, 4, 8]


def test_a_space_beyond_the_limit_is_no_result() -> None:
    with pytest.raises(TooManyStates):
        explore([0], count_or_double, lambda _: False, limit=1_000)


def count_or_double(number: int) -> Iterator[tuple[str, int]]:
    yield "count", number + 1
    yield "double", number * 2


def fenced(**variant: bool) -> FencedProtocol:
    return FencedProtocol(FENCED, fence.Variant(**variant))


def holds(model: Model[Any, Any], name: str) -> int:
    """The number of states, of which none breaks the promise."""
    began = time.perf_counter()
    found = search(model, limit=LIMIT)
    seconds = time.perf_counter() - began
    assert found.violation is None, f"{name}\n{written(found.violation)}"
    print(f"{found.states:,} states, {found.states / seconds:,.0f}/s: {name}")  # noqa: T201 (for `pytest -s`)
    return found.states


def breaks(model: Model[Any, Any]) -> int:
    """The number of steps of a shortest way to break the promise."""
    found = search(model, limit=LIMIT)
    assert found.violation, f"not in {found.states:,} states"
    steps = len(found.violation) - 1
    print(f"{found.states:,} states, {steps} steps\n{written(found.violation)}")  # noqa: T201 (for `pytest -s`)
    return steps


def written(trace: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{number:>2} {name}\n    {state}" for number, (name, state) in enumerate(trace))
