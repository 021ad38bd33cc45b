"""Which cores processes run on, and who waits for whom."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.harness import NotMeasuredError

LEAST_REAL_TIME = 1
"""Of the priorities of `sched(7)`."""


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


@contextmanager
def ahead(processes: Collection[int | None]) -> Iterator[None]:
    """The processes of these ids and this thread never wait for others that want a core, as Linux's real-time class
    has it; back at the end. Raises `NotMeasuredError` where that is not allowed."""
    _schedule(processes, os.SCHED_RR, LEAST_REAL_TIME)
    try:
        yield
    finally:
        _schedule(processes, os.SCHED_OTHER, 0)


def _schedule(processes: Collection[int | None], policy: int, priority: int) -> None:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
        for process in filter(None, processes):
            for thread in _threads(process):
                with suppress(ProcessLookupError):  # Threads end.
                    os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except PermissionError as error:
        raise NotMeasuredError("only root may put processes into the real-time class") from error


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
