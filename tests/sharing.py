"""How the processes that run the tests divide them: file by file, and what a file has for one database apart from what
it has for another.

Each process does all that it gets for one database before it turns to the next. So the tables, the application over
them and the last check of the ledger are made once for each, and not for every file again.
"""

import re
from collections import Counter
from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # has no annotations

from tests.servers import backends

BACKENDS: Sequence[str] = backends()
BACKEND = re.compile(rf"[\[-]({'|'.join(BACKENDS)})[\]-]")
LONG = (
    "tests/cache_model/",
    "tests/cache_schedules/",
    "tests/properties/",
    "tests/worker/test_worker_processes.py",
    "tests/faults/cache/test_cache_promise.py",
    "tests/faults/cache/test_wall_clock.py",
    "tests/faults/tasks/",
)
"""One that is begun last keeps its process at it long after the others have nothing to do."""


class LoadFileAndBackend(LoadScopeScheduling):  # type: ignore[misc]  # its base is Any to mypy
    def _split_scope(self, nodeid: str) -> str:
        return f"{_file(nodeid)} {_backend(nodeid)}"


def sort(items: list[pytest.Item]) -> None:
    """What takes long, then database by database, then what needs none; of each folder the largest files first."""
    sizes = Counter(_file(item.nodeid) for item in items)

    def rank(item: pytest.Item) -> tuple[int, str, int, str]:
        file = _file(item.nodeid)
        return _turn(item.nodeid), file.rpartition("/")[0], -sizes[file], file

    items.sort(key=rank)


def _turn(nodeid: str) -> int:
    if nodeid.startswith(LONG):
        return -1
    backend = _backend(nodeid)
    return BACKENDS.index(backend) if backend else len(BACKENDS)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _backend(nodeid: str) -> str:
    found = BACKEND.search(nodeid)
    return found[1] if found else ""
