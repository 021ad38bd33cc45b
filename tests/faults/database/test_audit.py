"""The audit finds what it is there to find: without that an experiment that finds nothing would say nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymysql.cursors import Cursor
from sqlalchemy.engine import make_url

from tests.faults.commands import Sent
from tests.faults.database.audit import audit
from tests.faults.database.experiment import Experiment, experiment
from tests.faults.database.figures import Figures
from tests.faults.database.stage import operator
from tests.faults.returning import ReturningMariaDb, ReturningValkey

AGAIN = "INSERT INTO movements SELECT * FROM aside"


async def test_it_tells_what_was_lost_and_what_was_done_twice(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    async with experiment("audit", own_mariadb, own_valkey) as running:
        first, second = [running.commands.of("receipts", 2) for _ in range(2)]
        for each in (first, second):
            await running.done(each)
        assert await _audited(running) == ([], [])
        with _aside(running, first) as cursor:
            cursor.execute("DELETE FROM movements WHERE reference = %s", [first.key])
            assert await _audited(running) == ([first.key], [])
            cursor.execute(AGAIN)
        with _aside(running, second) as cursor:
            cursor.execute("UPDATE aside SET id = UNHEX(REPEAT('fe', 16)), line = line + 1")
            cursor.execute(AGAIN)
            assert await _audited(running) == ([], [second.key])
            cursor.execute("DELETE FROM movements WHERE id = UNHEX(REPEAT('fe', 16))")


async def _audited(running: Experiment) -> tuple[list[str], list[str]]:
    """The keys of what was lost and of what was done twice."""
    told = Figures("audited", running.figures.seed)
    await audit(running.clients[0], running.load.sent, running.load.records, told)
    return told.lost, told.duplicated


@contextmanager
def _aside(running: Experiment, sent: Sent) -> Iterator[Cursor]:
    """With a copy of the command's movements in the table `aside`."""
    with operator(running.stage.database) as connection, connection.cursor() as cursor:
        connection.select_db(make_url(running.stage.database_url).database)
        cursor.execute("CREATE TEMPORARY TABLE aside SELECT * FROM movements WHERE reference = %s", [sent.key])
        yield cursor
