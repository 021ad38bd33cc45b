"""What a process that runs for long asks of the interpreter."""

import gc
import sys

SWITCH_SECONDS = 0.0005
"""For so long, and not the usual 5 ms, the event loop waits for a thread that computes when a socket has answered."""
NEW_OBJECTS = 10_000
"""So many more than before, and not 700, the collector looks through. A batch of a thousand rows makes more."""


def settle_in() -> None:
    """Call it when all that is here to stay has been loaded: the collector need not look through it again and again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(NEW_OBJECTS)
    gc.collect()
    gc.freeze()
