from warehouse.limiting import Decision, Quota
from warehouse.limiting.leases import LEASE_SECONDS, MOST_LEASES, Lease, Leases
from warehouse.limiting.redis import Answer, Ask

QUOTA = Quota(1000, 60)


def a_lease(granted: int = 3, remaining: int = 10, reset: int = 30_000, retry: int = 0) -> Lease:
    return Lease(QUOTA, Answer(granted, remaining, reset, retry, 7), 100.0, 100.25)


def test_it_gives_out_what_it_was_granted_and_then_knows_nothing() -> None:
    lease = a_lease(granted=2)
    assert [lease.take(100.5), lease.take(100.9), lease.take(100.5)] == [
        Decision(True, QUOTA, 11, 30, 0),
        Decision(True, QUOTA, 10, 30, 0),
        None,
    ]


def test_it_ends_soon() -> None:
    lease = a_lease()
    assert lease.take(100.0 + LEASE_SECONDS - 0.01) is not None
    assert lease.take(100.0 + LEASE_SECONDS) is None
    assert lease.used == 1


def test_it_ends_with_the_bucket_that_its_permits_were_counted_in() -> None:
    lease = a_lease(reset=400)
    assert lease.take(100.39) == Decision(True, QUOTA, 12, 1, 0)
    assert lease.take(100.4) is None


def test_an_answer_that_comes_late_is_good_for_whoever_waited_for_it() -> None:
    lease = a_lease(reset=100)
    assert lease.take(100.25) == Decision(True, QUOTA, 12, 0, 0)
    assert lease.take(100.26) is None
    refusing = a_lease(granted=0, remaining=0, reset=100, retry=101)
    assert refusing.take(100.25) == Decision(False, QUOTA, 0, 0, 1)


def test_where_nothing_is_left_it_refuses_until_a_permit_is_free() -> None:
    lease = a_lease(granted=0, remaining=0, retry=500)
    assert lease.take(100.74) == Decision(False, QUOTA, 0, 30, 1)
    assert lease.take(100.75) is None


def test_a_long_refusal_is_looked_at_again_soon() -> None:
    lease = a_lease(granted=0, remaining=0, retry=50_000)
    assert lease.take(100.25) == Decision(False, QUOTA, 0, 30, 50)
    assert lease.take(100.0 + LEASE_SECONDS) is None


def test_who_uses_up_a_lease_asks_for_twice_as_much_and_who_does_not_returns_the_rest() -> None:
    leases, name = Leases(), ("key", QUOTA)
    assert leases.ask(name, 1) == Ask(name, 1, 1, 0, 0)
    lease = a_lease(granted=3)
    leases.put(name, lease)
    lease.take(100.5)
    lease.take(100.5)
    assert leases.ask(name, 5) == Ask(name, 5, 4, 1, 7)
    assert leases.get(name) is None


def test_what_is_left_when_leases_end_is_returned_once_and_in_portions() -> None:
    leases = Leases()
    for number in range(5):
        leases.put((f"key {number}", QUOTA), a_lease(granted=number))
    assert list(leases.returns(100.5, 9)) == []
    first = list(leases.returns(102.0, 3))
    assert first == [Ask((f"key {number}", QUOTA), 0, 0, number, 7) for number in (1, 2, 3)]
    assert [ask.returned for ask in leases.returns(102.0, 3)] == [4]
    assert len(leases) == 0


def test_the_oldest_goes_when_there_are_too_many() -> None:
    leases = Leases()
    for number in range(MOST_LEASES + 1):
        leases.put((str(number), QUOTA), a_lease())
    assert len(leases) == MOST_LEASES
    assert leases.get(("0", QUOTA)) is None
    assert leases.get(("1", QUOTA)) is not None
