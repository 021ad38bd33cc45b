"""What makes no sense is refused, and the refusal says which setting it is."""

from typing import Any, get_type_hints

import pytest

from warehouse.resilience import Policy, PolicyOptions, PolicySettings, resilient_call


@pytest.mark.parametrize(
    ("setting", "others", "value"),
    [
        ("fail_max", {}, 0),
        ("attempts", {}, 0),
        ("window", {"minimum_calls": 0}, 0),
        ("minimum_calls", {}, 0),
        ("minimum_calls", {"window": 10}, 11),
        ("half_open_permits", {}, 0),
        ("timeout", {}, 0),
        ("timeout", {}, float("inf")),
        ("timeout", {}, float("nan")),
        ("timeout", {"deadline": 2.0}, 2.1),
        ("least_seconds", {}, -0.1),
        ("least_seconds", {"timeout": 2.0}, 2.1),
        ("deadline", {}, -1.0),
        ("open_seconds", {}, 0),
        ("backoff", {}, -0.1),
        ("backoff", {"max_backoff": 1.0}, 1.5),
        ("max_backoff", {}, float("inf")),
        ("jitter", {}, 1.1),
        ("jitter", {}, -0.1),
        ("failure_rate", {}, 0.0),
        ("failure_rate", {}, 1.01),
        ("slow_rate", {}, 50),
        ("slow_rate", {}, 0),
        ("slow_seconds", {}, 0),
        ("slow_seconds", {"timeout": 2.0}, 2.0),
        ("budget_ratio", {}, 20),
        ("budget_ratio", {}, -0.2),
        ("budget_floor", {}, -1),
        ("max_in_flight", {}, 0),
        ("max_queued", {"max_in_flight": 1}, -1),
        ("max_queued", {}, 5),
        ("exclude_exceptions", {}, (ValueError, "KeyError")),
        ("exclude_exceptions", {}, (KeyboardInterrupt,)),
        ("exclude_exceptions", {}, int),
        ("retry_on", {}, "OSError"),
        ("retry_on", {}, None),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(setting: str, others: dict[str, Any], value: Any) -> None:
    with pytest.raises(ValueError, match=rf"\b{setting} must|\b{setting} means"):
        PolicySettings(**others, **{setting: value})


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 1, "backoff": 0, "max_backoff": 0, "jitter": 0, "budget_ratio": 0, "budget_floor": 0},
        {"timeout": 2.0, "deadline": 2.0, "slow_seconds": 1.999},
        {"failure_rate": 1, "slow_rate": 1, "window": 1, "minimum_calls": 1, "fail_max": 1, "half_open_permits": 1},
        {"max_in_flight": 1, "max_queued": 0},
        {"exclude_exceptions": KeyError, "retry_on": lambda error: True},
    ],
)
def test_the_edges_are_within(options: dict[str, Any]) -> None:
    PolicySettings(**options)


def test_defaults_make_sense() -> None:
    PolicySettings()


def test_every_setting_is_an_option_of_the_same_type() -> None:
    assert get_type_hints(PolicyOptions) == get_type_hints(PolicySettings)


def test_a_policy_is_refused_as_its_settings_are() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Policy("dependency", attempts=0)


def test_the_decorator_is_refused_before_it_is_applied() -> None:
    with pytest.raises(ValueError, match="attempts"):
        resilient_call(attempts=0)
