"""How often each row has been seen already, over files of any length in flat memory."""

import sqlite3
from uuid import UUID

_CACHE_KIB = 8 * 1024
_KEY_BITS = (1 << 62) - 1


class Occurrences:
    """Counts on disk, in a private temporary database that vanishes with the object. Use it from one thread at a time.

    Ids are told apart by 62 of their bits. Should two ever share them, a row counts as seen that was not: of no
    consequence, for it does so again in every repetition of the file.
    """

    def __init__(self) -> None:
        self._counts = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._counts.execute(f"PRAGMA {pragma}")
        self._counts.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, times INTEGER NOT NULL)")
        self._counts.execute("BEGIN")
        self._cursor = self._counts.cursor()

    def count(self, row_id: UUID) -> int:
        """How often it was counted before; counts it."""
        statement = "INSERT INTO seen VALUES (?, 0) ON CONFLICT (id) DO UPDATE SET times = times + 1 RETURNING times"
        (times,) = self._cursor.execute(statement, (row_id.int & _KEY_BITS,)).fetchone()
        return int(times)

    def close(self) -> None:
        self._counts.close()
