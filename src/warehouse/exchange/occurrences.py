"""How often each row has been seen already, over files of any length in flat memory."""

import sqlite3
from collections.abc import Iterator
from mmap import mmap
from uuid import UUID

_CACHE_KIB = 8 * 1024
_KEY_BITS = 62
_KEY = (1 << _KEY_BITS) - 1
_SLOT_BITS = 21
"""A table of 24 MiB, of which little is taken for a short file, with room for 1.4 million ids."""


class Occurrences:
    """Counts in a hash table; whenever that is full they go to the disk, into a private temporary database that
    vanishes with the object. Use it from one thread at a time.

    Ids are told apart by 62 of their bits. Should two ever share them, a row counts as seen that was not: of no
    consequence, for it does so again in every repetition of the file.
    """

    def __init__(self, slot_bits: int = _SLOT_BITS) -> None:
        self._stored = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._stored.execute(f"PRAGMA {pragma}")
        self._stored.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, times INTEGER NOT NULL)")
        self._stored.execute("BEGIN")
        self._has_stored = False
        self._slots = 1 << slot_bits
        self._shift = _KEY_BITS - slot_bits
        self._keys = memoryview(mmap(-1, 8 * self._slots)).cast("Q")
        self._times = memoryview(mmap(-1, 4 * self._slots)).cast("I")
        self._free = self._most = self._slots * 2 // 3

    def count(self, row_id: UUID) -> int:
        """How often it was counted before; counts it."""
        key = row_id.int & _KEY
        slot = key >> self._shift
        while (times := self._times[slot]) and self._keys[slot] != key:
            slot = (slot + 1) % self._slots
        if not times:
            self._keys[slot] = key
            self._free -= 1
            times = self._times_stored(key) if self._has_stored else 0
        self._times[slot] = times + 1
        if not self._free:
            self._store()
        return times

    def close(self) -> None:
        self._stored.close()

    def _times_stored(self, key: int) -> int:
        found = self._stored.execute("SELECT times FROM seen WHERE id = ?", (key,)).fetchone()
        return int(found[0]) if found else 0

    def _store(self) -> None:
        self._stored.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", self._taken())
        self._has_stored = True
        self._free = self._most

    def _taken(self) -> Iterator[tuple[int, int]]:
        """All that is in the table, nearly in the order of the ids, which the database writes fastest; taken out."""
        for slot, times in enumerate(self._times):
            if times:
                yield self._keys[slot], times
                self._times[slot] = 0
