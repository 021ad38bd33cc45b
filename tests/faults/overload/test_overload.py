"""Beyond its capacity the server does as much as at it, refuses the rest at once, and is itself again soon after.

What bounds it here is waiting for a database that is far away. `python -m tests.faults.overload` is bounded by the
processor, and needs a machine that does nothing else.
"""

from tests.conftest import FreshDatabase
from tests.faults.chance import LONG, new_seed, seeded
from tests.faults.overload.mix import WORKING
from tests.faults.overload.stage import FAR
from tests.faults.overload.trial import FULL, NORMAL_AGAIN, SHORT, run

PLAN = FULL if LONG else SHORT


def test_three_times_the_peak_leaves_nine_tenths_of_it(fresh_database: FreshDatabase) -> None:
    seed = new_seed()
    trial = run(fresh_database("mariadb"), FAR, WORKING, PLAN, seeded(seed))
    print(f"WAREHOUSE_TEST_SEED={seed}\n{trial}")  # noqa: T201 (pytest shows it where a test fails)

    # With so few places, and each write seconds long, half of the peak is not calm before either: what is normal again
    # is for the other form to tell.
    assert set(trial.broken) <= {NORMAL_AGAIN}
