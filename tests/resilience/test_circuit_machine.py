"""The circuit against a plain model, step by step.

`WAREHOUSE_TEST_STEPS=long` makes it at least 100,000 steps, in an order of its own each time; the seed that it prints
goes into `WAREHOUSE_TEST_SEED` to have the same again.
"""

import os
import random
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.resilience.model import Model, Period, Refused
from tests.resilience.world import Clock
from warehouse.resilience import Circuit, CircuitOpenError, PolicySettings
from warehouse.resilience.listening import Listeners

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"
STEPS, EXAMPLES = (250, 550) if LONG else (50, 60)
WANTED = 100_000 if LONG else 2_000
SEED = int(os.environ.get("WAREHOUSE_TEST_SEED") or random.SystemRandom().getrandbits(32))
RESULTS = ("ok", "slow", "failed", "failed slow", "nothing")
STATES = {"closed", "open", "half_open", "forced_open", "disabled"}

rates = st.sampled_from([0.1, 0.25, 0.5, 2 / 3, 1.0])


@st.composite
def rules(draw: st.DrawFn) -> PolicySettings:
    window = draw(st.integers(1, 12))
    return PolicySettings(
        fail_max=draw(st.sampled_from([1, 2, 3, 5, 99])),
        window=window,
        minimum_calls=draw(st.integers(1, window)),
        failure_rate=draw(rates),
        slow_seconds=1.0,
        slow_rate=draw(rates),
        open_seconds=4.0,
        half_open_permits=draw(st.integers(1, 5)),
    )


class CircuitMachine(RuleBasedStateMachine):
    steps = 0
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.calls: list[tuple[int, Period]] = []

    @initialize(rules=rules())
    def begin(self, rules: PolicySettings) -> None:
        self.circuit = Circuit("dependency", rules, Listeners([]), self.clock)
        self.model = Model(rules, self.clock.now)

    @rule()
    def call(self) -> None:
        """One that is on its way until another rule ends it."""
        self._admit()

    @rule(results=st.lists(st.sampled_from(RESULTS), min_size=1, max_size=6))
    def call_and_end(self, results: list[str]) -> None:
        for result in results:
            if self._admit():
                self._end(len(self.calls) - 1, result)

    @rule(which=st.integers(0), result=st.sampled_from(RESULTS))
    def end(self, which: int, result: str) -> None:
        """Whichever it is, in whatever state it began."""
        if self.calls:
            self._end(which % len(self.calls), result)

    @rule(seconds=st.sampled_from([0.5, 3.5, 4.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(order=st.sampled_from(["force_open", "disable", "automate"]), chance=st.integers(0, 3))
    def order(self, order: str, chance: int) -> None:
        if order == "automate":
            if self.model.period.state in {"forced_open", "disabled"}:
                self.model.order("closed", self.clock.now)
        elif chance:
            return
        else:
            self.model.order({"force_open": "forced_open", "disable": "disabled"}[order], self.clock.now)
        getattr(self.circuit, order)()

    @invariant()
    def they_agree(self) -> None:
        CircuitMachine.steps += 1
        label = self.circuit.label
        CircuitMachine.seen[label] += 1
        assert label == self.model.period.state
        if label in {"closed", "half_open"}:
            kept = self.model.period.results[-self.circuit.window._size :]
            assert self.circuit.window.recorded == len(kept)
            assert self.circuit.window.failures == sum("failed" in each for each in kept)

    def _admit(self) -> bool:
        try:
            period = self.model.admit(self.clock.now)
        except Refused:
            with pytest.raises(CircuitOpenError) as refused:
                self.circuit.admit()
            assert refused.value.retry_after > 0
            return False
        self.calls.append((self.circuit.admit(), period))
        return True

    def _end(self, which: int, result: str) -> None:
        generation, period = self.calls.pop(which)
        seconds = 2.0 if "slow" in result else 0.5
        if result == "nothing":
            self.circuit.released(generation)
        elif "failed" in result:
            self.circuit.failed(generation, seconds, OSError())
        else:
            self.circuit.succeeded(generation, seconds)
        self.model.end(period, result, self.clock.now)


def test_the_circuit_does_what_the_model_does(capsys: pytest.CaptureFixture[str]) -> None:
    if LONG:
        with capsys.disabled():
            print(f"\nWAREHOUSE_TEST_SEED={SEED}")  # noqa: T201
        seed(SEED)(CircuitMachine)
    CircuitMachine.steps = 0
    CircuitMachine.seen.clear()
    run_state_machine_as_test(
        CircuitMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not LONG,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert CircuitMachine.steps >= WANTED
    assert set(CircuitMachine.seen) == STATES, CircuitMachine.seen
