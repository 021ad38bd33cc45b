"""Chance that can be had again: `WAREHOUSE_TEST_SEED` is that of a run that failed."""

import os
import random
import secrets

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"


def new_seed() -> int:
    return int(os.environ.get("WAREHOUSE_TEST_SEED") or secrets.randbits(32))


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (nothing here is secret)
