from collections.abc import Iterator

import pytest

from tests.faults.returning import ReturningMariaDb, ReturningValkey


@pytest.fixture(scope="session")
def own_mariadb() -> Iterator[ReturningMariaDb]:
    """For nobody but those that kill it."""
    with ReturningMariaDb() as server:
        yield server


@pytest.fixture(scope="session")
def own_valkey() -> Iterator[ReturningValkey]:
    with ReturningValkey() as server:
        yield server
