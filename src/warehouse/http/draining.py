"""What a server that is about to end tells its requests."""

from collections.abc import Mapping
from typing import Any

DRAINING = "draining"
"""In the state that the server shares with its requests (`scope["state"]`), from then on."""


def is_draining(state: Mapping[str, Any]) -> bool:
    return DRAINING in state
