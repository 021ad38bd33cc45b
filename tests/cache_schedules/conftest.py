import gc
import logging
import random
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of fences are no news. What was there before is no garbage: the collector is not to look for any."""
    logger = logging.getLogger("warehouse.cache.fence")
    state = random.getstate()
    logger.disabled = True
    gc.freeze()
    yield
    gc.unfreeze()
    logger.disabled = False
    random.setstate(state)
