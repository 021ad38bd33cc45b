"""The store in a folder, which all processes of the service share."""

import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from warehouse.blobs.batches import batches
from warehouse.blobs.disk import on_disk
from warehouse.blobs.store import PIECE_BYTES, Blob, BlobInfo, checked_key, checked_prefix, checked_start, is_key
from warehouse.errors import NotFound

PARTIALS = "+partial"
"""The folder of what is not whole yet. No key is spelled so."""
BATCH_BYTES = 1024 * 1024
"""Written in one turn of a thread."""
BATCH_ENTRIES = 500
FOLDER_MODE = 0o700
FILE_MODE = 0o600
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class FolderBlobStore:
    """A blob is a file by the name of its key. It is written to another place first, and renamed when all of it is on
    the disk: a rename is all or nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partials = folder / PARTIALS

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        partial = _Partial(self._partials / secrets.token_hex(16), self._path(key))
        try:
            await on_disk(partial.begin)
            async with aclosing(batches(chunks, BATCH_BYTES)) as pieces:
                async for piece in pieces:
                    await on_disk(partial.write, piece)
            await on_disk(partial.keep)
        finally:
            await on_disk(partial.end)
        return Blob(key, partial.size, partial.sha256.digest())

    def read(self, key: str, start: int = 0) -> AsyncGenerator[bytes]:
        return self._pieces(self._path(key), checked_start(start))

    @asynccontextmanager
    async def opened(self, key: str) -> AsyncIterator[BinaryIO]:
        with ExitStack() as files:
            yield await on_disk(_open, self._path(key), files)

    async def delete(self, key: str) -> None:
        await on_disk(self._delete, self._path(key))

    def keys(self, prefix: str) -> AsyncGenerator[BlobInfo]:
        return self._infos(checked_prefix(prefix))

    async def purge_partial(self, before: datetime) -> int:
        """They are as old as what was last written to them."""
        return await on_disk(self._purge, before.timestamp())

    async def check(self) -> None:
        await on_disk(self._try_out)

    async def close(self) -> None:
        """It holds nothing."""

    def _path(self, key: str) -> Path:
        return self._folder / checked_key(key)

    async def _pieces(self, path: Path, start: int) -> AsyncGenerator[bytes]:
        with ExitStack() as files:
            file = await on_disk(_open, path, files)
            await on_disk(file.seek, start)
            while piece := await on_disk(file.read, PIECE_BYTES):
                yield piece

    async def _infos(self, prefix: str) -> AsyncGenerator[BlobInfo]:
        found = self._walk(prefix)
        try:
            while batch := await on_disk(_some, found):
                for each in batch:
                    yield each
        finally:
            found.close()

    def _delete(self, path: Path) -> None:
        with suppress(*ABSENT):
            path.unlink()
        for folder in path.parents:
            if folder == self._folder:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # There is something in it, or somebody else was first.

    def _walk(self, prefix: str) -> Generator[BlobInfo]:
        waiting = [prefix.rpartition("/")[0]]
        while waiting:
            folder = waiting.pop()
            with suppress(*ABSENT), os.scandir(self._folder / folder) as entries:
                for entry in entries:
                    key = f"{folder}/{entry.name}" if folder else entry.name
                    if not is_key(key) or not key.startswith(prefix):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(key)
                        continue
                    with suppress(FileNotFoundError):  # deleted in this moment
                        status = entry.stat(follow_symlinks=False)
                        yield BlobInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _purge(self, before: float) -> int:
        purged = 0
        with suppress(FileNotFoundError), os.scandir(self._partials) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # It has become whole, or another process purges too.
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry)
                        purged += 1
        return purged

    def _try_out(self) -> None:
        partial = _Partial(self._partials / secrets.token_hex(16), self._folder)
        try:
            partial.begin()
            partial.write(b"\0")
        finally:
            partial.end()


class _Partial:
    """A file on its way to become a blob; its methods block."""

    def __init__(self, path: Path, final: Path) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._path = path
        self._final = final
        self._file: BinaryIO | None = None

    def begin(self) -> None:
        _make_folder(self._path.parent)
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb", buffering=0)

    def write(self, piece: bytes | bytearray) -> None:
        assert self._file is not None  # noqa: S101 (it has begun)
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.sha256.update(piece)
        self.size += len(piece)

    def keep(self) -> None:
        assert self._file is not None  # noqa: S101 (it has begun)
        os.fsync(self._file.fileno())
        self._rename()
        _sync_folder(self._final.parent)

    def end(self) -> None:
        if self._file is None:
            return
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def _rename(self) -> None:
        while True:
            _make_folder(self._final.parent)
            try:
                self._path.replace(self._final)
            except FileNotFoundError:
                # Somebody has deleted the last blob in the folder, and it with it. The partial is there as long as we.
                if not self._path.exists():
                    raise
            else:
                return


def _some(found: Iterator[BlobInfo]) -> list[BlobInfo]:
    return list(islice(found, BATCH_ENTRIES))


def _open(path: Path, files: ExitStack) -> BinaryIO:
    try:
        return files.enter_context(path.open("rb"))
    except ABSENT:
        raise NotFound("There is no such blob.") from None


def _make_folder(folder: Path) -> None:
    """With those above it, and so that it outlives a power failure."""
    try:
        folder.mkdir(FOLDER_MODE)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folder(folder.parent)
        _make_folder(folder)
    else:
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
