"""A network that is slow, loses connections and brings everything in slices, before the database and the cache."""

from tests.faults.chance import LONG
from tests.faults.database.experiment import LATE, experiment
from tests.faults.proxy import Network
from tests.faults.returning import ReturningMariaDb, ReturningValkey
from warehouse.settings import Settings

ANSWERS = 1000 if LONG else 80
ANSWERED_SECONDS = 600.0
DELAY_SECONDS = 0.1
"""Each way."""
LOSSES = 0.05
SLICE_BYTES = 1024
ATTEMPTS = 1.2
"""For each call: one in five may be a second one."""
LONGEST_SECONDS = Settings().request_timeout + (0 if LONG else LATE)
"""The long form has the machine for itself."""


async def test_answers_are_in_time_and_attempts_within_the_budget(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    async with experiment("poor network", own_mariadb, own_valkey, clients=40) as running:
        figures, stage = running.figures, running.stage
        ways = [*stage.ways, *stage.cache_ways]
        for way in ways:
            await way.become(Network.PASS, DELAY_SECONDS, slice_=SLICE_BYTES, losses=LOSSES)
        figures.faults = len(ways)
        async with running.load.running(running.clients):
            await running.answers(ANSWERS, ANSWERED_SECONDS)
        for way in ways:
            await way.become(Network.PASS)
        attempts, retries = [await stage.metrics(f"warehouse_policy_{each}_total") for each in ("attempts", "retries")]
        assert attempts <= ATTEMPTS * (attempts - retries)
        assert any(each.is_result for each in figures.answers)
        assert figures.percentile(99) <= LONGEST_SECONDS
