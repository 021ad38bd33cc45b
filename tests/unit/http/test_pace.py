"""The least pace that is borne, on a clock of the test's own."""

import math

from warehouse.http.pace import Pace

UPLOAD, DOWNLOAD = object(), object()


def test_what_keeps_the_pace_goes_on_for_as_long_as_it_likes() -> None:
    pace = Pace(seconds=5, least=100)
    assert not any(pace.is_lost(UPLOAD, amount=20 * now, now=now) for now in range(1000))


def test_a_drip_is_no_pace() -> None:
    pace = Pace(seconds=5, least=100)
    assert [pace.is_lost(UPLOAD, amount=now, now=now) for now in range(6)] == [False] * 5 + [True]


def test_what_came_before_is_no_credit() -> None:
    pace = Pace(seconds=5, least=100)
    assert not pace.is_lost(UPLOAD, amount=1000, now=0)
    assert not pace.is_lost(UPLOAD, amount=9000, now=5)
    assert pace.is_lost(UPLOAD, amount=9099, now=10)


def test_another_one_begins_anew() -> None:
    pace = Pace(seconds=5, least=100)
    assert not pace.is_lost(UPLOAD, amount=0, now=0)
    assert not pace.is_lost(DOWNLOAD, amount=0, now=4)
    assert not pace.is_lost(DOWNLOAD, amount=0, now=8)
    assert pace.is_lost(DOWNLOAD, amount=0, now=9)


def test_nothing_is_never_late() -> None:
    pace = Pace(seconds=5, least=math.inf)
    assert not pace.is_lost(UPLOAD, amount=0, now=0)
    assert not pace.is_lost(None, amount=0, now=100)
    assert not pace.is_lost(UPLOAD, amount=0, now=101)


def test_with_no_pace_enough_it_is_a_deadline() -> None:
    pace = Pace(seconds=10, least=math.inf)
    assert [pace.is_lost(UPLOAD, amount=10**9 * now, now=now) for now in (0, 9, 10)] == [False, False, True]
