"""What asyncio does not tell of a connection, and cannot do with it."""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
"""Of Linux alone."""
_INT = struct.Struct("i")
_AT_ONCE = struct.pack("ii", 1, 0)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the client has not taken yet, where some of them wait in this process; those in the system's buffer
    are counted then, as it takes more only when a large part of it is free. 0 where none wait here."""
    waiting = transport.get_write_buffer_size()
    return waiting + _unacknowledged(transport) if waiting else 0


def cut_off(transport: asyncio.Transport) -> None:
    """End the connection at once, and give up what the system holds for a client that does not take it."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def give_up_after(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system end the connection with a client that acknowledges or takes nothing of what was sent for so long:
    of itself it tries for a quarter of an hour."""
    end = transport.get_extra_info("socket")
    if _USER_TIMEOUT is not None and end is not None and end.family in (socket.AF_INET, socket.AF_INET6):
        end.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(seconds * 1000))


def _unacknowledged(transport: asyncio.Transport) -> int:
    # Not every system tells.
    with suppress(OSError):
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_INT.size))
        number: int = _INT.unpack(answer)[0]
        return number
    return 0
