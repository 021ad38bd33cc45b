import json
from dataclasses import asdict
from typing import Any

import pytest

from tests.resilience.world import Clock
from warehouse.policies import STATEMENT_GRACE, Overrides, Policies, parse_overrides, table
from warehouse.resilience import PolicySettings
from warehouse.settings import PolicyGroup

NAMES = sorted(table(5.0, 0.5))
VALUES: Overrides = {
    "timeout": 0.75,
    "fail_max": 17,
    "failure_rate": 0.9,
    "minimum_calls": 33,
    "open_seconds": 44.0,
    "half_open_permits": 7,
    "attempts": 2,
    "backoff": 0.3,
}
"""Such as no policy has by itself."""


def settings(name: str, overrides: str = "") -> dict[str, Any]:
    policies = Policies(overrides={name: parse_overrides(name, overrides)})
    return asdict(getattr(policies, name).settings)


@pytest.mark.parametrize("seconds", [(5.0, 0.5), (0.01, 0.01), (3600.0, 60.0)])
def test_every_policy_makes_sense_however_long_one_may_wait(seconds: tuple[float, float]) -> None:
    assert [each.name for each in Policies(*seconds).registry.snapshots()] == NAMES


def test_each_policy_can_be_changed_by_a_setting_of_its_name() -> None:
    assert sorted(PolicyGroup.model_fields) == NAMES


def test_statements_have_longer_than_the_locks_that_they_wait_for() -> None:
    policies = Policies(7.0, 0.25)
    assert (
        policies.database_reads.settings.timeout == policies.database_writes.settings.timeout == 7.0 + STATEMENT_GRACE
    )
    assert policies.cache.settings.timeout == policies.cache_releases.settings.timeout == 0.25


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("database_reads", "blobs")])
def test_only_what_may_be_done_twice_is_retried(name: str) -> None:
    """Reads stand alone, and so does what is asked of S3; any other call that timed out may have had its effect, and
    transactions are replayed as a whole."""
    assert settings(name)["attempts"] == 1


@pytest.mark.parametrize("option", list(VALUES))
@pytest.mark.parametrize("name", NAMES)
def test_an_override_changes_what_it_says_and_nothing_else(name: str, option: str) -> None:
    value = dict(VALUES)[option]
    before, after = settings(name), settings(name, json.dumps({option: value}))
    assert before[option] != value
    changed = {key for key in before if before[key] != after[key]}
    # An attempt that was given less than this would never count.
    assert changed - {"least_seconds"} == {option}
    assert after[option] == value
    assert after["least_seconds"] == min(before["least_seconds"], after["timeout"])


@pytest.mark.parametrize("name", NAMES)
def test_an_override_of_one_policy_leaves_the_others_alone(name: str) -> None:
    by_itself, changed = Policies(), Policies(overrides={name: VALUES})
    for other in set(NAMES) - {name}:
        assert getattr(changed, other).settings == getattr(by_itself, other).settings


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_in_json_is_read(name: str) -> None:
    assert parse_overrides(name, '{"timeout": 2.5, "fail_max": 10}') == {"timeout": 2.5, "fail_max": 10}
    assert parse_overrides(name, "") == parse_overrides(name, "{}") == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("timeout=5", "JSON"),
        ("[]", "JSON"),
        ("null", "JSON"),
        ('{"timeout": 1', "JSON"),
        ('{"timeout": "soon"}', "timeout"),
        ('{"timeout": null}', "timeout"),
        ('{"timeout": 0}', "timeout"),
        ('{"timeout": -1}', "timeout"),
        ('{"timeout": NaN}', "timeout"),
        ('{"timeout": Infinity}', "timeout"),
        ('{"fail_max": 0}', "fail_max"),
        ('{"fail_max": 1.5}', "fail_max"),
        ('{"failure_rate": 1.5}', "failure_rate"),
        ('{"failure_rate": NaN}', "failure_rate"),
        ('{"minimum_calls": 101}', "minimum_calls"),
        ('{"open_seconds": 0}', "open_seconds"),
        ('{"half_open_permits": 0}', "half_open_permits"),
        ('{"attempts": 0}', "attempts"),
        ('{"backoff": 6}', "backoff"),
        ('{"retry_on": []}', "retry_on"),
        ('{"window": 5}', "window"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_makes_no_sense_is_refused_by_its_name(name: str, text: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}\b"):
        parse_overrides(name, text)


def test_what_was_parsed_makes_sense_however_long_one_may_wait() -> None:
    for name in NAMES:
        overrides = parse_overrides(name, '{"timeout": 0.001, "backoff": 5, "minimum_calls": 100}')
        for seconds in ((0.01, 0.01), (3600.0, 60.0)):
            policy = getattr(Policies(*seconds, overrides={name: overrides}), name)
            assert isinstance(policy.settings, PolicySettings)


def test_policies_go_by_the_clock_that_they_are_given() -> None:
    clock = Clock()
    circuit = Policies(monotonic=clock).cache.circuit
    circuit.failed(circuit.admit(), 0.0, OSError())
    assert circuit.retry_after == 0.5
    clock.advance(0.5)
    assert circuit.retry_after == 0
