"""The script, on a real server but with a clock that is told the time."""

from collections.abc import Callable, Sequence
from math import ceil

import pytest
import redis
from hypothesis import given, settings

from tests.limiting.test_window import pauses, quotas
from tests.limiting.world import a_key
from tests.servers import Valkey
from warehouse.limiting import Decision, Quota
from warehouse.limiting.redis import Answer
from warehouse.limiting.script import ARGUMENT, SCRIPT
from warehouse.limiting.window import Window

TOLD = SCRIPT.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
START = 1_700_000_000_000

HOUR = 3_600_000


class Counts:
    def __init__(self, client: "redis.Redis") -> None:
        self.key = a_key()
        self._client = client

    def ask(self, quota: Quota, now: int, needed: int = 1, wanted: int = 1, returned: int = 0, of: int = 0) -> Answer:
        """`now` is in milliseconds."""
        argument = ARGUMENT.pack(quota.permits, quota.seconds * 1000, needed, wanted, returned, of)
        execute: Callable[..., list[int]] = self._client.execute_command
        return Answer(*execute("EVAL", TOLD, 1, self.key, argument, now // 1000, now % 1000 * 1000))

    def seconds_to_live(self) -> float:
        return float(self._client.pttl(self.key)) / 1000  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client(valkey: Valkey) -> "redis.Redis":
    return redis.Redis.from_url(valkey.url())


@pytest.fixture
def counts(client: "redis.Redis") -> Counts:
    return Counts(client)


def test_the_clock_is_that_of_the_server_unless_it_is_told() -> None:
    assert TOLD != SCRIPT


@given(quota=quotas, pauses=pauses)
@settings(deadline=None)
def test_it_decides_as_a_process_alone_does(client: "redis.Redis", quota: Quota, pauses: Sequence[int]) -> None:
    counts, window, now = Counts(client), Window(quota), START
    for pause in pauses:
        now += pause
        answer = counts.ask(quota, now)
        assert decision(quota, answer) == window.take(now)


def decision(quota: Quota, answer: Answer) -> Decision:
    retry = 0 if answer.granted else max(1, ceil(answer.retry / 1000))
    return Decision(answer.granted == 1, quota, answer.remaining, ceil(answer.reset / 1000), retry)


def test_more_than_needed_is_granted_up_to_a_64th_of_what_is_free(counts: Counts) -> None:
    quota = Quota(6400, 3600)
    granted = [counts.ask(quota, START, needed, wanted).granted for needed, wanted in [(1, 9999), (300, 9), (0, 50)]]
    assert granted == [100, 300, 50]


def test_near_the_limit_nothing_is_granted_ahead(counts: Counts) -> None:
    quota = Quota(127, 3600)
    assert [counts.ask(quota, START, 1, 9999).granted for _ in range(130)] == [1] * 127 + [0] * 3


def test_what_is_needed_and_not_there_is_granted_in_part(counts: Counts) -> None:
    assert counts.ask(Quota(7, 3600), START, 10, 1)[:2] == (7, 0)


def test_what_is_returned_counts_no_more_be_it_of_this_bucket_or_the_one_before(counts: Counts) -> None:
    quota = Quota(100, 3600)
    bucket = counts.ask(quota, START, 100).bucket
    assert counts.ask(quota, START, 0, 0, 40, bucket).remaining == 40
    half = (bucket + 1) * HOUR + HOUR // 2
    assert counts.ask(quota, half, 0, 0, 20, bucket).remaining == 80
    assert counts.ask(quota, half, 0, 0, 40, bucket - 1).remaining == 80


def test_more_than_was_counted_cannot_be_returned(counts: Counts) -> None:
    quota = Quota(100, 3600)
    bucket = counts.ask(quota, START, 1).bucket
    assert counts.ask(quota, START, 0, 0, 5, bucket).remaining == 100


def test_a_key_goes_when_it_counts_no_more(counts: Counts) -> None:
    counts.ask(Quota(5, 60), START)
    assert 110 < counts.seconds_to_live() <= 120


def test_a_refusal_does_not_write(counts: Counts) -> None:
    quota = Quota(1, 60)
    counts.ask(quota, START)
    before = counts.seconds_to_live()
    assert counts.ask(quota, START).granted == 0
    assert counts.seconds_to_live() <= before


def test_a_clock_set_back_over_the_boundary_gives_nothing_twice(counts: Counts) -> None:
    quota, boundary = Quota(10, 60), START - START % 60_000
    assert counts.ask(quota, boundary, 10).granted == 10
    assert counts.ask(quota, boundary - 5, 10).granted == 0
    assert counts.ask(quota, boundary + 5, 10).granted == 0


def test_a_clock_set_back_by_hours_does_not_refuse_for_hours(counts: Counts) -> None:
    quota = Quota(10, 60)
    assert counts.ask(quota, START, 10).granted == 10
    assert counts.ask(quota, START - 5 * HOUR, 10).granted == 10
