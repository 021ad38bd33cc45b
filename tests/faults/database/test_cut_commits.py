"""A connection that is lost exactly at COMMIT: nobody knows whether the database has got it."""

from httpx import Response

from tests.faults.chance import LONG
from tests.faults.commands import Commands, Sent, check_effect, replay
from tests.faults.database.experiment import Experiment, experiment
from tests.faults.database.watches import CutAtCommit
from tests.faults.proxy import Verdict, let_pass
from tests.faults.returning import ReturningMariaDb, ReturningValkey

ROUNDS = 50 if LONG else 4
BETWEEN = 4
"""Commands between two that are cut: the budget has transactions replayed for one in five."""


async def test_a_command_has_one_effect_and_its_client_does_not_notice(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    async with experiment("cut at COMMIT", own_mariadb, own_valkey) as running:
        noticed = []
        for _ in range(ROUNDS):
            for verdict in (Verdict.LOSE, Verdict.LOSE_ANSWER):
                for sent in await _new_commands(running):
                    for _ in range(BETWEEN):
                        await running.done(running.commands.of("receipts", 1))
                    answer = await _cut(running, sent, verdict)
                    await replay(running.clients[1], sent)
                    await check_effect(running.clients[1], sent)
                    if answer is None or not answer.is_success:
                        noticed.append((verdict, sent.path, answer and answer.text))
        assert noticed == []


async def _new_commands(running: Experiment) -> list[Sent]:
    """One of each kind that can be done."""
    commands = running.commands
    await running.done(commands.of("receipts", 3))
    reservation = await running.done(commands.of("reservations", 1))
    return [
        commands.of("receipts", 2),
        commands.of("shipments", 1),
        commands.of("reservations", 1),
        Commands.confirmation(reservation),
    ]


async def _cut(running: Experiment, sent: Sent, verdict: Verdict) -> Response | None:
    way, watch = running.stage.ways[0], CutAtCommit(verdict)
    way.watch = watch
    try:
        answer = await running.load.send(running.clients[0], sent)
    finally:
        way.watch = let_pass
    assert watch.cuts == 1
    running.figures.faults += 1
    return answer
