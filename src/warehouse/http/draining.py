"""What a server that is about to end tells its requests."""

import asyncio
from collections.abc import Mapping
from typing import Any

DRAINING = "draining"
"""In the state that the server shares with its requests (`scope["state"]`), from then on."""
CLOSING = "closing"
"""There as well, from the start: an event, which is set when the server takes no more requests."""


def is_draining(state: Mapping[str, Any]) -> bool:
    return DRAINING in state


def closing_of(state: Mapping[str, Any]) -> asyncio.Event | None:
    """What to wait for, for whatever would hold up the end; None where the server is not ours."""
    return state.get(CLOSING)
