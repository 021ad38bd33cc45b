"""What a client may take of the server before there is a request to speak of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """With a look at each connection every second, every slow client is gone within 15 seconds."""

    head_seconds: float = 10.0
    """For a request's head to come in whole, from the connection or from its first byte."""
    pace_seconds: float = 5.0
    pace_bytes: int = 5 * 1024
    """So many bytes at least of a body are sent, or of an answer taken, in each `pace_seconds`, but for its end."""
    silence_seconds: float = 60.0
    """After which a client that acknowledges nothing has vanished. Of events there is too little to keep a pace by."""
    head_bytes: int = 64 * 1024
    """The largest head, and the most beside it that is no body: trailers and the sizes of chunks."""
    fields: int = 100
    """In a head."""
    connections: int = 2000
    """At one time, in one process."""


DEFAULT_LIMITS = WireLimits()
