"""The production code under a seeded scheduler that interleaves at every await.

10,000 schedules, always the same; with `WAREHOUSE_TEST_STEPS=long` 100,000, others each time. One that fails tells the
seed that goes into `WAREHOUSE_TEST_SEED` to have it again, alone.
"""

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from prometheus_client import REGISTRY

from tests.cache_schedules.process import KIND
from tests.cache_schedules.schedule import perform

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"
SEED = os.environ.get("WAREHOUSE_TEST_SEED")
FIRST = random.SystemRandom().getrandbits(32) if LONG else 0
BLOCK = 1_000
BLOCKS = 100 if LONG else 10

AT_LEAST: Mapping[str, int] = {
    "acknowledged": 3_000,
    "evict": 100,
    "fenced": 100,
    "filled": 2_000,
    "garbage read": 20,
    "given up": 200,
    "joined": 200,
    "kill": 50,
    "killed before the release": 100,
    "lease waited for": 200,
    "not filled": 30,
    "pause": 50,
    "read: bypass": 2_000,
    "read: hit": 2_000,
    "read: miss": 2_000,
    "read: negative": 300,
    "read: refresh": 40,
    "recovered": 50,
    "refused": 200,
    "release failed": 200,
    "release needless": 300,
    "segments: hit": 500,
    "segments: miss": 500,
    "sent again": 200,
    "switched on": 40,
    "wipe": 50,
}
"""What happens in a block, lest it prove nothing."""

COUNTERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "fenced": ("fences", {}),
    "filled": ("fills", {"kind": KIND, "result": "stored"}),
    "garbage read": ("garbage", {"kind": KIND}),
    "lease waited for": ("lease_waits", {"kind": KIND}),
    "not filled": ("fills", {"kind": KIND, "result": "refused"}),
    "release failed": ("releases", {"result": "failed"}),
    "release needless": ("releases", {"result": "skipped"}),
}
"""Those that the production code counts itself."""


def blocks() -> Sequence[range]:
    if SEED:
        return [range(int(SEED), int(SEED) + 1)]
    return [range(start, start + BLOCK) for start in range(FIRST, FIRST + BLOCKS * BLOCK, BLOCK)]


@pytest.mark.parametrize("seeds", blocks(), ids=lambda seeds: f"from {seeds[0]}")
def test_no_read_is_older_than_the_last_write_acknowledged_before_it_began(seeds: range) -> None:
    before = _counted()
    happened: Counter[str] = Counter()
    for seed in seeds:
        happened += perform(seed).happened
    happened += _counted() - before

    if not SEED:
        assert {name: happened[name] for name, least in AT_LEAST.items() if happened[name] < least} == {}


@pytest.mark.parametrize("seed", [int(SEED)] if SEED else range(FIRST, FIRST + 50))
def test_a_seed_says_all_that_happens(seed: int) -> None:
    first, second = perform(seed), perform(seed)

    assert first.trace.lines() == second.trace.lines()
    assert (first.steps, first.rest, first.happened) == (second.steps, second.rest, second.happened)


def _counted() -> Counter[str]:
    samples = {
        name: REGISTRY.get_sample_value(f"warehouse_cache_{metric}_total", dict(labels))
        for name, (metric, labels) in COUNTERS.items()
    }
    return Counter({name: int(sample or 0) for name, sample in samples.items()})
