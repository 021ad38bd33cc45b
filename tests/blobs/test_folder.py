"""What only a folder can show: modes, foreign files, and disks that fail."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.blobs.stage import MIB, FolderStage, chunked, chunks_of, content_of, keys_of
from warehouse.blobs.disk import FULL_RETRY_SECONDS, on_disk
from warehouse.blobs.folder import PARTIALS, FolderBlobStore
from warehouse.errors import NotFound, Unavailable


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A write beyond that fails, as on a disk that fails. Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_nobody_else_may_look_inside(folder: FolderStage) -> None:
    before = os.umask(0)
    try:
        await folder.store.put("results/1/0", chunked(b"content"))
    finally:
        os.umask(before)
    modes = {path.relative_to(folder.folder).as_posix(): path.stat().st_mode for path in folder.folder.rglob("*")}
    assert {name: stat.S_IMODE(mode) for name, mode in modes.items()} == {
        PARTIALS: 0o700,
        "results": 0o700,
        "results/1": 0o700,
        "results/1/0": 0o600,
    }
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700


async def test_what_is_deleted_leaves_no_empty_folders(folder: FolderStage) -> None:
    await folder.store.put("results/1/0", chunked(b"content"))
    await folder.store.delete("results/1/0")
    assert [path.name for path in folder.folder.iterdir()] == [PARTIALS]


async def test_files_of_others_are_no_blobs(folder: FolderStage) -> None:
    await folder.store.put("uploads/1", chunked(b"content"))
    for name in (".DS_Store~", "UPPER", "a b", "uploads/Thumbs.db"):
        (folder.folder / name).write_bytes(b"foreign")
    assert await keys_of(folder.store) == ["uploads/1"]


async def test_a_key_cannot_lead_through_a_blob(folder: FolderStage) -> None:
    await folder.store.put("uploads/1", chunked(b"content"))
    with pytest.raises(Unavailable):
        await folder.store.put("uploads/1/2", chunked(b"below"))
    with pytest.raises(Unavailable):
        await folder.store.put("uploads", chunked(b"above"))
    assert await folder.leftovers() == 0
    assert await content_of(folder.store, "uploads/1") == b"content"


async def test_a_full_disk_is_told_as_such() -> None:
    """/dev/full is what the name says."""
    with pytest.raises(Unavailable) as refused:
        await on_disk(Path("/dev/full").write_bytes, b"content")
    assert refused.value.detail == "The file storage is full."
    assert refused.value.retry_after == FULL_RETRY_SECONDS


async def test_a_put_that_the_disk_fails_leaves_nothing(folder: FolderStage) -> None:
    await folder.store.put("uploads/1", chunked(b"before"))
    with files_of_at_most(5 * MIB + 10), pytest.raises(Unavailable) as refused:
        await folder.store.put("uploads/1", chunks_of(bytes(MIB), 12))
    assert refused.value.detail == "The file storage fails: File too large."
    assert await folder.leftovers() == 0
    assert await content_of(folder.store, "uploads/1") == b"before"


async def test_where_there_can_be_no_folder_the_check_fails_and_tells_no_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    store = FolderBlobStore(tmp_path / "file" / "blobs")
    with pytest.raises(Unavailable) as refused:
        await store.check()
    assert refused.value.detail == "The file storage fails: Not a directory."
    with pytest.raises(Unavailable):
        await store.put("uploads/1", chunked(b"content"))
    with pytest.raises(NotFound):
        await content_of(store, "uploads/1")
    assert await keys_of(store) == []
