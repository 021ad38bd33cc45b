"""The state machine alone, on a clock."""

from contextlib import suppress

import pytest

from tests.resilience.world import Clock, Diary, a_circuit, fail, replay, succeed
from warehouse.resilience import Circuit, CircuitBreakerState, CircuitOpenError, Mode

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("fail_max", "results", "state"),
    [
        (3, "FF", CLOSED),
        (3, "FFF", OPEN),
        (3, "FF.FF", CLOSED),
        (3, "FF.FFF", OPEN),
        (3, "FFsFF", CLOSED),
        (1, "F", OPEN),
        (1, "....F", OPEN),
    ],
)
def test_failures_in_a_row_open_it(clock: Clock, fail_max: int, results: str, state: CircuitBreakerState) -> None:
    circuit = a_circuit(clock, fail_max=fail_max)
    replay(circuit, results)
    assert circuit.state is state


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("F.F.F.F.", CLOSED),  # one short of the minimum
        ("F.F.F.F.F", OPEN),
        (".F.F.F.FF", OPEN),
        ("F.F.F.F..", CLOSED),  # four of nine
        ("..F.F.F.FF", OPEN),
        ("FFFF.....", CLOSED),
        ("FFFF.....F", OPEN),
        ("F..........FFFF", CLOSED),  # five of fifteen would not do, and of the last ten four are too few
        ("FFFF......FFFFF", OPEN),
    ],
)
def test_the_rate_of_failures_opens_it(clock: Clock, results: str, state: CircuitBreakerState) -> None:
    circuit = a_circuit(clock, fail_max=99, window=10, minimum_calls=9, failure_rate=0.5)
    replay(circuit, results)
    assert circuit.state is state


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("s.s.", CLOSED),  # too few
        ("s.s.s", OPEN),  # a success, and yet the last straw
        ("sss..", OPEN),
        ("ss...", CLOSED),
        ("ssF..", CLOSED),  # failures are not slow ones by themselves
    ],
)
def test_the_rate_of_slow_calls_opens_it(clock: Clock, results: str, state: CircuitBreakerState) -> None:
    circuit = a_circuit(clock, window=5, minimum_calls=5, slow_seconds=1.0, slow_rate=0.6)
    replay(circuit, results)
    assert circuit.state is state


def test_a_call_that_takes_just_as_long_is_not_slow(clock: Clock) -> None:
    circuit = a_circuit(clock, slow_seconds=1.0, minimum_calls=1)
    succeed(circuit, 50, seconds=1.0)
    assert circuit.state is CLOSED
    succeed(circuit, 50, seconds=1.0001)
    assert circuit.state is OPEN


def test_without_a_threshold_nothing_is_slow(clock: Clock) -> None:
    circuit = a_circuit(clock, minimum_calls=1)
    succeed(circuit, 200, seconds=1e9)
    assert circuit.state is CLOSED


def test_slow_failures_count_for_the_rate_of_slow_calls_too(clock: Clock) -> None:
    circuit = a_circuit(clock, slow_seconds=1.0, window=4, minimum_calls=4, failure_rate=1.0, fail_max=99)
    succeed(circuit, 2)
    fail(circuit, 2, seconds=2.0)
    assert circuit.state is OPEN


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.0])
def test_a_rate_is_reached_exactly(clock: Clock, share: float) -> None:
    """0.1 * 30 is more than 3 in floating point."""
    failures = round(share * 30)
    circuit = a_circuit(clock, fail_max=99, window=30, minimum_calls=30, failure_rate=share)
    succeed(circuit, 30 - failures)
    fail(circuit, failures - 1)
    assert circuit.state is CLOSED
    fail(circuit)
    assert circuit.state is OPEN


def test_eighty_failures_of_a_hundred_open_it_though_never_five_in_a_row(clock: Clock) -> None:
    circuit = a_circuit(clock)
    with pytest.raises(CircuitOpenError):
        replay(circuit, "FFFF." * 20)


def test_open_it_refuses_and_says_for_how_long(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1, open_seconds=30)
    fail(circuit)
    clock.advance(12.5)
    with pytest.raises(CircuitOpenError) as refused:
        circuit.admit()
    assert refused.value.retry_after == 17.5
    assert refused.value.policy == "dependency"


@pytest.mark.parametrize(("seconds", "state"), [(29.999, OPEN), (30.0, HALF_OPEN), (1e6, HALF_OPEN)])
def test_after_its_time_the_next_call_makes_it_half_open(
    clock: Clock, seconds: float, state: CircuitBreakerState
) -> None:
    circuit = a_circuit(clock, fail_max=1, open_seconds=30)
    fail(circuit)
    clock.advance(seconds)
    assert circuit.state is OPEN
    with suppress(CircuitOpenError):
        circuit.admit()
    assert circuit.state is state


def test_a_refusal_does_not_make_it_stay_open_longer(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1, open_seconds=30)
    fail(circuit)
    for _ in range(29):
        clock.advance(1)
        with pytest.raises(CircuitOpenError):
            circuit.admit()
    clock.advance(1)
    circuit.admit()


def test_a_clock_that_stands_still_never_reopens(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1, open_seconds=0.001)
    fail(circuit)
    for _ in range(1_000):
        with pytest.raises(CircuitOpenError):
            circuit.admit()


def end(circuit: Circuit, generation: int, result: str) -> None:
    """ "F" is a failure, "-" neither failure nor success, "s" a slow success, anything else a success."""
    match result:
        case "F":
            circuit.failed(generation, 0.0, OSError())
        case "-":
            circuit.released(generation)
        case _:
            circuit.succeeded(generation, 9.0 if result == "s" else 0.0)


class Probing:
    """A circuit that has just become half-open, with as many calls on their way as it permits."""

    def __init__(self, clock: Clock, diary: Diary | None = None, permits: int = 4) -> None:
        self.circuit = a_circuit(
            clock,
            diary,
            fail_max=9,
            window=9,
            minimum_calls=9,
            half_open_permits=permits,
            open_seconds=30,
            slow_seconds=1.0,
            slow_rate=0.5,
        )
        fail(self.circuit, 9)
        clock.advance(30)
        self.calls = [self.circuit.admit() for _ in range(permits)]

    def end(self, results: str) -> None:
        for result in results:
            end(self.circuit, self.calls.pop(), result)


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("...", HALF_OPEN),
        ("....", CLOSED),
        ("F", HALF_OPEN),
        ("F...", CLOSED),
        ("FF", OPEN),  # it is certain: no need to wait for the rest
        (".F.F", OPEN),
        ("..ss", OPEN),
        ("s...", CLOSED),
        ("sF..", CLOSED),
        ("ss", OPEN),
    ],
)
def test_the_rates_of_the_probes_decide(clock: Clock, results: str, state: CircuitBreakerState) -> None:
    probing = Probing(clock)
    probing.end(results)
    assert probing.circuit.state is state


@pytest.mark.parametrize("permits", [1, 2, 10])
def test_half_open_admits_no_more_than_its_permits(clock: Clock, permits: int) -> None:
    probing = Probing(clock, permits=permits)
    with pytest.raises(CircuitOpenError) as refused:
        probing.circuit.admit()
    assert refused.value.retry_after == 5.0  # by then the probes must have ended


def test_a_probe_that_has_ended_makes_no_room_for_another(clock: Clock) -> None:
    probing = Probing(clock)
    probing.end("...")
    with pytest.raises(CircuitOpenError):
        probing.circuit.admit()


def test_a_probe_that_is_released_gives_its_permit_back_once(clock: Clock) -> None:
    probing = Probing(clock)
    probing.end("-")
    probing.calls.append(probing.circuit.admit())
    with pytest.raises(CircuitOpenError):
        probing.circuit.admit()


def test_probes_that_are_all_released_decide_nothing(clock: Clock) -> None:
    probing = Probing(clock)
    for _ in range(50):
        probing.end("----")
        probing.calls = [probing.circuit.admit() for _ in range(4)]
    assert probing.circuit.state is HALF_OPEN
    probing.end("....")
    assert probing.circuit.state is CLOSED


def test_in_a_row_counts_among_probes_too(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=2, half_open_permits=10, failure_rate=1.0)
    fail(circuit, 2)
    clock.advance(30)
    fail(circuit, 2)
    assert circuit.state is OPEN


def test_open_again_it_is_so_for_the_whole_time(clock: Clock) -> None:
    probing = Probing(clock)
    clock.advance(7)
    probing.end("FF")
    assert probing.circuit.retry_after == 30


def test_closed_again_it_has_forgotten_what_was(clock: Clock) -> None:
    probing = Probing(clock)
    probing.end("....")
    circuit = probing.circuit
    fail(circuit, 8)
    assert (circuit.state, circuit.window.recorded, circuit.consecutive) == (CLOSED, 8, 8)


@pytest.mark.parametrize("result", ["F", ".", "-"])
def test_a_call_of_the_closed_time_says_nothing_to_an_open_circuit(clock: Clock, result: str) -> None:
    circuit = a_circuit(clock, fail_max=1, open_seconds=30)
    late = circuit.admit()
    fail(circuit)
    clock.advance(29)
    end(circuit, late, result)
    assert (circuit.state, circuit.retry_after) == (OPEN, 1)


@pytest.mark.parametrize("result", ["F", ".", "-"])
def test_a_call_of_the_closed_time_is_no_probe(clock: Clock, result: str) -> None:
    circuit = a_circuit(clock, fail_max=1, half_open_permits=1)
    late = circuit.admit()
    fail(circuit)
    clock.advance(30)
    circuit.admit()
    end(circuit, late, result)
    assert circuit.state is HALF_OPEN
    with pytest.raises(CircuitOpenError):
        circuit.admit()


@pytest.mark.parametrize("result", ["F", ".", "-"])
def test_a_probe_of_an_earlier_half_open_time_is_none_of_a_later(clock: Clock, result: str) -> None:
    probing = Probing(clock, permits=4)
    probing.end("FF")
    clock.advance(30)
    probe = probing.circuit.admit()
    probing.end(result)
    probing.end(result)
    assert (probing.circuit.state, probing.circuit.window.recorded) == (HALF_OPEN, 0)
    rest = [probing.circuit.admit() for _ in range(3)]
    with pytest.raises(CircuitOpenError):
        probing.circuit.admit()
    for generation in (probe, *rest):
        probing.circuit.succeeded(generation, 0.0)
    assert probing.circuit.state is CLOSED


@pytest.mark.parametrize("result", ["F", ".", "-"])
def test_a_probe_says_nothing_to_the_circuit_that_is_closed_since(clock: Clock, result: str) -> None:
    probing = Probing(clock, permits=2)
    circuit = probing.circuit
    late = probing.calls[0]
    circuit.force_open()
    circuit.automate()
    end(circuit, late, result)
    assert (circuit.state, circuit.window.recorded, circuit.consecutive) == (CLOSED, 0, 0)


def test_what_is_released_leaves_no_trace_while_closed(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=3)
    fail(circuit, 2)
    circuit.released(circuit.admit())
    assert (circuit.consecutive, circuit.window.recorded) == (2, 2)
    fail(circuit)
    assert circuit.state is OPEN


def test_forced_open_it_refuses_for_ever(clock: Clock) -> None:
    circuit = a_circuit(clock, open_seconds=30)
    circuit.force_open()
    clock.advance(1e9)
    with pytest.raises(CircuitOpenError) as refused:
        circuit.admit()
    assert (refused.value.retry_after, circuit.label) == (30, "forced_open")


def test_disabled_it_lets_everything_through_and_counts_nothing(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1, minimum_calls=1, slow_seconds=1.0)
    circuit.disable()
    fail(circuit, 1_000, seconds=9.0)
    succeed(circuit, 1_000, seconds=9.0)
    assert (circuit.label, circuit.window.recorded, circuit.consecutive) == ("disabled", 0, 0)


@pytest.mark.parametrize("order", ["force_open", "disable"])
def test_after_an_order_it_begins_again_closed(clock: Clock, order: str) -> None:
    circuit = a_circuit(clock, fail_max=2)
    fail(circuit, 2)
    getattr(circuit, order)()
    circuit.automate()
    assert (circuit.mode, circuit.label) == (Mode.AUTO, "closed")
    fail(circuit)
    assert circuit.state is CLOSED


def test_without_an_order_there_is_nothing_to_take_back(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1)
    fail(circuit)
    generation = circuit.generation
    circuit.automate()
    assert (circuit.state, circuit.generation) == (OPEN, generation)


@pytest.mark.parametrize(
    ("first", "then", "label"), [("disable", "force_open", "forced_open"), ("force_open", "disable", "disabled")]
)
def test_an_order_replaces_another(clock: Clock, first: str, then: str, label: str) -> None:
    circuit = a_circuit(clock)
    getattr(circuit, first)()
    getattr(circuit, then)()
    assert circuit.label == label


def test_a_call_let_through_before_an_order_says_nothing_after_it(clock: Clock) -> None:
    circuit = a_circuit(clock, fail_max=1)
    late = circuit.admit()
    circuit.disable()
    circuit.automate()
    circuit.failed(late, 0.0, OSError())
    assert circuit.state is CLOSED


def test_listeners_hear_of_every_change(clock: Clock) -> None:
    diary = Diary()
    probing = Probing(clock, diary)
    probing.end("FF")
    clock.advance(30)
    replay(probing.circuit, "....")
    probing.circuit.force_open()
    probing.circuit.disable()
    probing.circuit.automate()
    assert diary.states == [
        (CLOSED, OPEN, "open"),
        (OPEN, HALF_OPEN, "half_open"),
        (HALF_OPEN, OPEN, "open"),
        (OPEN, HALF_OPEN, "half_open"),
        (HALF_OPEN, CLOSED, "closed"),
        (CLOSED, OPEN, "forced_open"),
        (OPEN, CLOSED, "disabled"),
        (CLOSED, CLOSED, "closed"),
    ]


def test_listeners_hear_of_results_that_count_alone(clock: Clock) -> None:
    diary = Diary()
    circuit = a_circuit(clock, diary, fail_max=1)
    late = [circuit.admit() for _ in range(3)]
    succeed(circuit)
    fail(circuit)
    circuit.succeeded(late[0], 0.0)
    circuit.failed(late[1], 0.0, ValueError())
    circuit.released(late[2])
    assert diary.calls == ["success", OSError]


@pytest.mark.parametrize(
    ("results", "closed"), [("", True), ("..F", True), ("FFF", False), ("FFF+....", False), ("FFF+", False)]
)
def test_a_retry_asks_whether_it_has_been_closed_all_the_time(clock: Clock, results: str, *, closed: bool) -> None:
    circuit = a_circuit(clock, fail_max=3, half_open_permits=4)
    generation = circuit.admit()
    before, passes, after = results.partition("+")
    replay(circuit, before)
    clock.advance(30 if passes else 0)
    replay(circuit, after)
    assert circuit.is_closed_since(generation) is closed
