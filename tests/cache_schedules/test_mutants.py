"""What the schedules are good for: they find whatever is done wrongly."""

from collections.abc import Callable

import pytest

from tests.cache_schedules.mutants import MUTANTS
from tests.cache_schedules.schedule import Failed, perform
from tests.cache_schedules.world import Violation

SCHEDULES = 20_000


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__.replace("_", " "))
def test_a_mutant_is_found(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)

    with pytest.raises(Failed) as found:
        _perform_all()

    assert isinstance(found.value.__cause__, Violation)


def _perform_all() -> None:
    for seed in range(SCHEDULES):
        perform(seed)
