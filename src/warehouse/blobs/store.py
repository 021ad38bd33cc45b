"""What every store promises."""

import re
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

KEY_LENGTH = 200
PIECE_BYTES = 256 * 1024
_KEY = re.compile(r"[a-z0-9._-]+(/[a-z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class Blob:
    key: str
    size: int
    sha256: bytes
    """Of the content as it is kept."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    key: str
    size: int
    modified_at: datetime


class BlobStore(Protocol):
    """Keys are made by the service, as `uploads/<id>`: parts of small letters, digits, `.`, `_` and `-`, with a `/`
    between two. Every method raises `ValueError` for any other, and `Unavailable` where the store fails.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Keeps all of it or nothing, in place of what was there; of several at once, the last that ends holds.

        What `chunks` raises, this raises. One that is cancelled, or that hears of a failure, while the content is just
        being given its name may have kept it, whole. One that is killed leaves what `purge_partial` removes.
        """
        ...

    def read(self, key: str, start: int = 0) -> AsyncGenerator[bytes]:
        """The content from the offset on, in pieces of about `PIECE_BYTES`; none where it ends before.

        Raises `NotFound` before the first piece. Of a blob that is deleted or replaced meanwhile comes the rest of what
        it was, or an error; never anything else.
        """
        ...

    def opened(self, key: str) -> AbstractAsyncContextManager[BinaryIO]:
        """The content as a file on this machine, for readers that are synchronous and seek. Raises `NotFound`."""
        ...

    async def delete(self, key: str) -> None:
        """No error where it is not there."""
        ...

    def keys(self, prefix: str) -> AsyncGenerator[BlobInfo]:
        """All whose keys begin so, in no order; an empty prefix for all. Those that come or go meanwhile may be among
        them."""
        ...

    async def purge_partial(self, before: datetime) -> int:
        """Removes what killed puts have left, if it is older: a put that still runs is nobody's leftover. Gives the
        number of puts."""
        ...

    async def check(self) -> None:
        """Raises where it cannot be used."""
        ...

    async def close(self) -> None: ...


def checked_key(key: str) -> str:
    if not is_key(key):
        raise ValueError("this is no key of a blob")
    return key


def checked_prefix(prefix: str) -> str:
    if prefix and not is_key(prefix.removesuffix("/")):
        raise ValueError("no key of a blob begins so")
    return prefix


def checked_start(start: int) -> int:
    if start < 0:
        raise ValueError("the start must not be negative")
    return start


def is_key(text: str) -> bool:
    return (
        len(text) <= KEY_LENGTH and _KEY.fullmatch(text) is not None and not {".", ".."}.intersection(text.split("/"))
    )
