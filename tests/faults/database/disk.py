"""A MariaDB whose disk is full for a while, by the size that the system lets its files have."""

import resource
from contextlib import suppress

import pymysql

from tests.faults.database.stage import operator
from tests.faults.returning import ReturningMariaDb

OPTIONS = ("--innodb-file-per-table=0", "--innodb-autoextend-increment=1", "--innodb-log-file-size=4M")
"""One file for all tables is larger than any other."""
ROOM = 1 << 20
ROW_BYTES = (1 << 18, 1 << 14, 1 << 10, 1 << 6)


class BoundedMariaDb(ReturningMariaDb):
    def __init__(self) -> None:
        super().__init__(*OPTIONS)
        self._unbounded = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def command(self) -> list[str]:
        # The write itself is to fail, as on a full disk, and not the program.
        return ["env", "--ignore-signal=XFSZ", *super().command()]

    def fill(self) -> None:
        """Until no table has room for anything more."""
        assert self.pid
        self.execute("CREATE DATABASE IF NOT EXISTS filler")
        self.execute("CREATE OR REPLACE TABLE filler.filler (bytes LONGBLOB)")
        most = (self.folder / "data" / "ibdata1").stat().st_size + ROOM
        self._unbounded = resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (most, self._unbounded[1]))
        with operator(self) as connection, connection.cursor() as cursor:
            for size in ROW_BYTES:
                with suppress(pymysql.OperationalError):
                    while True:
                        cursor.execute("INSERT INTO filler.filler VALUES (REPEAT('.', %s))", [size])

    def free(self) -> None:
        assert self.pid
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, self._unbounded)
        self.execute("DROP TABLE filler.filler")
