"""A process that is to be killed: it puts one blob after another under the same key, the last of which never ends.

`python -m tests.blobs.putting {folder PATH | s3 ENDPOINT PREFIX} COUNT`: so many whole ones before that, each of a
letter of its own; -1 for no end of them.
"""

import asyncio
import sys
from itertools import count, cycle
from pathlib import Path

from tests.blobs.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.blobs.stage import MIB, chunks_of, then_hang
from warehouse.blobs import BlobStore
from warehouse.blobs.bucket import Address, Bucket
from warehouse.blobs.folder import FolderBlobStore
from warehouse.blobs.s3 import S3BlobStore
from warehouse.policies import Policies

KEY = "uploads/1"
LETTERS = "abcdefgh"
MIBS = 6


async def put(store: BlobStore, whole: int) -> None:
    letters = cycle(LETTERS)
    for number in range(whole) if whole >= 0 else count():
        await store.put(KEY, chunks_of(next(letters).encode() * MIB, MIBS))
        if number == 0:
            print("begun", flush=True)  # noqa: T201 (the test waits for it)
    reached = asyncio.Event()
    last = asyncio.create_task(store.put(KEY, then_hang(reached, chunks_of(next(letters).encode() * MIB, MIBS))))
    await reached.wait()
    print("hanging", flush=True)  # noqa: T201 (the test waits for it)
    await last


def store_of(kind: str, place: str, prefix: str) -> BlobStore:
    if kind == "folder":
        return FolderBlobStore(Path(place))
    bucket = Bucket(Address(BUCKET, place, "us-east-1", ACCESS_KEY, SECRET_KEY), Policies().blobs)
    return S3BlobStore(bucket, prefix, Path())


async def main(kind: str, place: str, *rest: str) -> None:
    *prefix, whole = rest
    await put(store_of(kind, place, "".join(prefix)), int(whole))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
