"""`python shifted.py FILE ARGUMENTS`: the program `warehouse`, in a process whose wall clock goes wrong by as many
seconds as FILE holds at the time, a number of 8 bytes.

What the server and its libraries tell the time of day by, `time.time` and `datetime.now`, is replaced before any of
them is imported. What is monotonic goes on as it is, as it does where somebody sets a system's clock.
"""

import datetime
import mmap
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import Any

OFFSET = struct.Struct("d")


class _Kind(type):
    """`datetime` as it is made in C stays one: it is what libraries make and take."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _DateTime)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _DateTime)


_DateTime = datetime.datetime
_true_time, _true_time_ns = time.time, time.time_ns


def shift(file: Path) -> None:
    """From now on the wall clock of this process is off by what the file holds."""
    with file.open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), OFFSET.size, access=mmap.ACCESS_READ)

    def offset() -> float:
        (seconds,) = OFFSET.unpack(memory[:])
        return float(seconds)

    class Shifted(_DateTime, metaclass=_Kind):
        def __new__(cls, *arguments: Any, **named: Any) -> Any:
            return _DateTime(*arguments, **named)

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _DateTime.now(tz) + datetime.timedelta(seconds=offset())

        @classmethod
        def utcnow(cls) -> Any:
            return _DateTime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=offset())

    time.time = lambda: _true_time() + offset()
    time.time_ns = lambda: _true_time_ns() + int(offset() * 1_000_000_000)
    datetime.datetime = Shifted  # type: ignore[misc]


if __name__ == "__main__":
    shift(Path(sys.argv.pop(1)))
    runpy.run_module("warehouse", run_name="__main__", alter_sys=True)
