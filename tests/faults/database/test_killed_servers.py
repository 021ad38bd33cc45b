"""A server killed with -9 at each statement of a write."""

from collections.abc import Sequence

from httpx import Response

from tests.faults.chance import LONG
from tests.faults.commands import Commands, Sent, check_effect, replay
from tests.faults.database.experiment import Experiment, experiment
from tests.faults.database.figures import BROKEN
from tests.faults.database.watches import KillAt
from tests.faults.proxy import Verdict, let_pass
from tests.faults.returning import ReturningMariaDb, ReturningValkey

KINDS = ("receipts", "reservations", "confirmations")
COUNTS = 3
SAMPLE = 1
"""Of the steps, beside the last, in the short run."""


async def test_sent_again_it_has_one_effect(own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey) -> None:
    async with experiment("server killed", own_mariadb, own_valkey) as running:
        for kind in KINDS:
            # Now and then a statement of the server's own comes in between.
            steps = min([await _steps(running, kind) for _ in range(COUNTS)])
            assert steps > SAMPLE
            for step, verdict in _chosen(running, steps):
                sent = await _new(running, kind)
                assert await _run(running, sent, KillAt(running.stage.servers[0], step, verdict)) is None
                await running.stage.servers[0].come_back()
                await replay(running.clients[0], sent)
                await check_effect(running.clients[0], sent)
        broken = [each for each in running.figures.answers if each.status == BROKEN]
        assert len(broken) == running.figures.faults
        running.figures.answers = [each for each in running.figures.answers if each.status != BROKEN]


def _chosen(running: Experiment, steps: int) -> Sequence[tuple[int, Verdict]]:
    """The last arrives at the database in any case: then it is done, and nobody has been told."""
    every = [(step, verdict) for step in range(1, steps + 1) for verdict in (Verdict.LOSE, Verdict.PASS)]
    return every if LONG else [*running.chance.sample(every[:-1], SAMPLE), every[-1]]


async def _steps(running: Experiment, kind: str) -> int:
    """How many statements such a write has."""
    watch = KillAt(running.stage.servers[0])
    answer = await _run(running, await _new(running, kind), watch)
    assert answer is not None
    assert answer.is_success
    return watch.seen


async def _new(running: Experiment, kind: str) -> Sent:
    """What comes before it makes connections, too: those are none of its steps."""
    await running.done(running.commands.of("receipts", 2))
    if kind == "confirmations":
        return Commands.confirmation(await running.done(running.commands.of("reservations", 1)))
    return running.commands.of(kind, 1)


async def _run(running: Experiment, sent: Sent, watch: KillAt) -> Response | None:
    way = running.stage.ways[0]
    way.watch = watch
    try:
        return await running.load.send(running.clients[0], sent)
    finally:
        way.watch = let_pass
        running.figures.faults += watch.step > 0
