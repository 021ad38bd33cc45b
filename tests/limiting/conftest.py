from collections.abc import Iterator

import pytest

from tests.limiting.world import MortalValkey


@pytest.fixture
def mortal() -> Iterator[MortalValkey]:
    """A server of the test's own, to do with it whatever it likes."""
    with MortalValkey() as server:
        yield server
