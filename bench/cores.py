"""Which cores processes run on."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def parted(apart: Collection[int | None], others: Collection[int | None]) -> Iterator[None]:
    """The processes of these ids and this one on the first core, the others on the rest of them; back at the end. None
    is a process that is not on this machine."""
    cores = os.sched_getaffinity(0)
    first = {min(cores)}
    _keep({*apart, os.getpid()}, first)
    _keep(others, (cores - first) or first)
    try:
        yield
    finally:
        _keep({*apart, *others, os.getpid()}, cores)


def _keep(processes: Collection[int | None], cores: set[int]) -> None:
    for process in filter(None, processes):
        for thread in _threads(process):
            with suppress(ProcessLookupError):  # Threads end.
                os.sched_setaffinity(thread, cores)


def _threads(process: int) -> Iterator[int]:
    """Of a process and its children."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        yield int(thread.name)
        for child in (thread / "children").read_text().split():
            yield from _threads(int(child))
