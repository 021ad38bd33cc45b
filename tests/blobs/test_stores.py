"""What is promised of every store, on a folder and on a real S3 server (SeaweedFS) over HTTP."""

import asyncio
import hashlib
import os
import random
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from tests.blobs.stage import (
    MIB,
    Stage,
    chunked,
    chunks_of,
    content_of,
    keys_of,
    then_hang,
    then_raise,
    until,
)
from warehouse.blobs.s3 import PART_BYTES, RANGE_BYTES
from warehouse.blobs.store import KEY_LENGTH, PIECE_BYTES
from warehouse.errors import NotFound

SEED = 20261125
LARGE_MIB = 100
FLAT_BYTES = 20 * MIB
"""A part of S3, its copy on the way, and what the sockets hold."""
SIZES = [0, 1, PIECE_BYTES, PIECE_BYTES + 1, RANGE_BYTES, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES]
HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    ".",
    "../secret",
    "uploads/../../secret",
    "uploads/./1",
    "uploads/..",
    "uploads//1",
    "uploads/",
    "uploads\\1",
    "uploads/A",
    "uploads/1 2",
    "uploads/1\n",
    "uploads/\x00",
    "uploads/%2e%2e",
    "uploads/é",
    "uploads/٣",
    "c:/uploads",
    "~/uploads",
    "+partial/1",
    "u" * (KEY_LENGTH + 1),
]


def some_bytes(size: int, seed: int = SEED) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 (nothing here is secret)


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_is_read_whole(stage: Stage, size: int) -> None:
    content = some_bytes(size)
    blob = await stage.store.put("uploads/1", chunked(content))
    assert (blob.key, blob.size, blob.sha256) == ("uploads/1", size, hashlib.sha256(content).digest())
    assert await content_of(stage.store, "uploads/1") == content
    assert await stage.leftovers() == 0


async def test_chunks_may_be_of_any_size(stage: Stage) -> None:
    content = some_bytes(3 * PART_BYTES)
    chance = random.Random(SEED)  # noqa: S311 (nothing here is secret)

    async def unequal() -> AsyncGenerator[bytes]:
        start = 0
        while start < len(content):
            size = chance.choice((0, 1, 1000, 70_000, PART_BYTES + 7))
            yield content[start : start + size]
            start += size

    blob = await stage.store.put("uploads/1", unequal())
    assert blob.sha256 == hashlib.sha256(content).digest()
    assert await content_of(stage.store, "uploads/1") == content


async def test_pieces_are_small(stage: Stage) -> None:
    await stage.store.put("uploads/1", chunked(some_bytes(RANGE_BYTES + 10)))
    async with aclosing(stage.store.read("uploads/1")) as pieces:
        sizes = [len(piece) async for piece in pieces]
    assert sizes == [PIECE_BYTES] * (RANGE_BYTES // PIECE_BYTES) + [10]


@pytest.mark.parametrize("start", [0, 1, PIECE_BYTES - 1, RANGE_BYTES, RANGE_BYTES + 99, RANGE_BYTES + 100, 10**12])
async def test_a_read_may_begin_anywhere(stage: Stage, start: int) -> None:
    content = some_bytes(RANGE_BYTES + 100)
    await stage.store.put("uploads/1", chunked(content))
    assert await content_of(stage.store, "uploads/1", start) == content[start:]


async def test_a_read_does_not_begin_before_the_beginning(stage: Stage) -> None:
    with pytest.raises(ValueError, match="start"):
        stage.store.read("uploads/1", -1)


async def test_what_is_not_there_is_said_before_the_first_piece(stage: Stage) -> None:
    await stage.store.put("uploads/1", chunked(b"here"))
    for key in ("uploads/2", "uploads", "uploads/1/2"):
        with pytest.raises(NotFound):
            await anext(stage.store.read(key))
        with pytest.raises(NotFound):
            async with stage.store.opened(key):
                pass


async def test_a_file_can_be_sought_in(stage: Stage) -> None:
    content = some_bytes(RANGE_BYTES + 100)
    await stage.store.put("uploads/1", chunked(content))
    async with stage.store.opened("uploads/1") as file:
        assert file.seekable()
        assert file.read(10) == content[:10]
        file.seek(-100, os.SEEK_END)
        assert file.read() == content[-100:]
        file.seek(0)
        assert file.read() == content
    assert file.closed


async def test_a_put_replaces_what_was_there(stage: Stage) -> None:
    for content in (some_bytes(PART_BYTES + 1), b"short", b"", some_bytes(2 * PART_BYTES, seed=1)):
        await stage.store.put("results/1/0", chunked(content))
        assert await content_of(stage.store, "results/1/0") == content
    assert await keys_of(stage.store) == ["results/1/0"]


@pytest.mark.parametrize("before", [b"", b"what was there"])
@pytest.mark.parametrize("count", [0, 1, 300])
async def test_a_put_that_fails_changes_nothing(stage: Stage, before: bytes, count: int) -> None:
    """300 chunks are more than two parts."""
    if before:
        await stage.store.put("uploads/1", chunked(before))
    with pytest.raises(ConnectionResetError, match="the client is gone"):
        await stage.store.put(
            "uploads/1", then_raise(ConnectionResetError("the client is gone"), chunks_of(bytes(50_000), count))
        )
    await until(lambda: nothing_left(stage))
    await holds_only(stage, before)


@pytest.mark.parametrize("before", [b"", b"what was there"])
@pytest.mark.parametrize("count", [0, 1, 300])
async def test_a_put_that_is_cancelled_changes_nothing(stage: Stage, before: bytes, count: int) -> None:
    if before:
        await stage.store.put("uploads/1", chunked(before))
    reached = asyncio.Event()
    putting = asyncio.create_task(stage.store.put("uploads/1", then_hang(reached, chunks_of(bytes(50_000), count))))
    await reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await until(lambda: nothing_left(stage))
    await holds_only(stage, before)


async def nothing_left(stage: Stage) -> bool:
    return await stage.leftovers() == 0


async def holds_only(stage: Stage, content: bytes) -> None:
    if content:
        assert await content_of(stage.store, "uploads/1") == content
    else:
        with pytest.raises(NotFound):
            await content_of(stage.store, "uploads/1")
        assert await keys_of(stage.store) == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_wherever_a_put_is_cancelled_it_is_there_whole_or_not_at_all(stage: Stage, steps: int) -> None:
    """After so many turns of the event loop, which are a different moment for each store."""
    content = some_bytes(PART_BYTES + 1000)
    putting = asyncio.create_task(stage.store.put("uploads/1", chunked(content, MIB)))
    for _ in range(steps):
        await asyncio.sleep(0)
    putting.cancel()
    await asyncio.wait({putting})
    assert putting.cancelled()
    await until(lambda: nothing_left(stage))
    if await keys_of(stage.store):
        assert await content_of(stage.store, "uploads/1") == content


async def test_of_several_puts_of_one_key_one_holds_whole(stage: Stage) -> None:
    contents = [some_bytes(PART_BYTES + number, seed=number) for number in range(4)] + [b"short"]
    await asyncio.gather(*(stage.store.put("uploads/1", chunked(each)) for each in contents))
    assert await content_of(stage.store, "uploads/1") in contents
    assert await keys_of(stage.store) == ["uploads/1"]
    assert await stage.leftovers() == 0


async def test_the_put_that_ends_last_holds(stage: Stage) -> None:
    slow, goes_on = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncGenerator[bytes]:
        yield b"slow"
        slow.set()
        await goes_on.wait()

    putting = asyncio.create_task(stage.store.put("uploads/1", waiting()))
    await slow.wait()
    await stage.store.put("uploads/1", chunked(b"quick"))
    assert await content_of(stage.store, "uploads/1") == b"quick"
    goes_on.set()
    await putting
    assert await content_of(stage.store, "uploads/1") == b"slow"


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(stage: Stage) -> None:
    await stage.store.put("results/1/0", chunked(b"a"))
    await stage.store.put("results/1/1", chunked(b"b"))
    for _ in range(2):
        await stage.store.delete("results/1/0")
    assert await keys_of(stage.store) == ["results/1/1"]
    with pytest.raises(NotFound):
        await content_of(stage.store, "results/1/0")
    await stage.store.delete("results/1")
    await stage.store.delete("results/1/1/2")
    assert await content_of(stage.store, "results/1/1") == b"b"
    await stage.store.delete("results/1/1")
    assert await keys_of(stage.store) == []
    await stage.store.put("results/1/1", chunked(b"again"))
    assert await content_of(stage.store, "results/1/1") == b"again"


@pytest.mark.parametrize("after", [b"", b"another", None])
async def test_whoever_reads_meanwhile_gets_what_was_there_or_an_error(stage: Stage, after: bytes | None) -> None:
    """Deleted where there is nothing after it."""
    content = some_bytes(2 * RANGE_BYTES)
    await stage.store.put("uploads/1", chunked(content))
    async with aclosing(stage.store.read("uploads/1")) as pieces, stage.store.opened("uploads/1") as file:
        read = await anext(pieces)
        if after is None:
            await stage.store.delete("uploads/1")
        else:
            await stage.store.put("uploads/1", chunked(after))
        try:
            async for piece in pieces:
                read += piece
        except NotFound:
            assert content.startswith(read)
        else:
            assert read == content
        assert file.read() == content


async def test_keys_are_listed_by_how_they_begin(stage: Stage) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=2)
    keys = [f"results/{number:03}/{part}" for number in range(300) for part in range(2)]
    keys += ["results/a", "uploads/1", "uploads-old/1", "u"]
    async with asyncio.TaskGroup() as puts:
        for key in keys:
            puts.create_task(stage.store.put(key, chunked(key.encode())))
    for prefix in ("", "results/", "results/0", "results/001", "results/001/", "results/a", "uploads", "u", "v", "v/w"):
        assert await keys_of(stage.store, prefix) == sorted(key for key in keys if key.startswith(prefix))
    async with aclosing(stage.store.keys("results/a")) as found:
        [info] = [each async for each in found]
    assert (info.key, info.size) == ("results/a", len("results/a"))
    assert begun <= info.modified_at <= datetime.now(UTC) + timedelta(seconds=2)


async def test_an_empty_store_has_no_keys(stage: Stage) -> None:
    assert await keys_of(stage.store) == await keys_of(stage.store, "uploads/") == []


async def test_a_listing_may_be_left_early(stage: Stage) -> None:
    for key in ("uploads/1", "uploads/2"):
        await stage.store.put(key, chunked(b"a"))
    async with aclosing(stage.store.keys("")) as found:
        assert (await anext(found)).key.startswith("uploads/")


@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
async def test_no_other_key_is_taken(stage: Stage, key: str) -> None:
    store = stage.store
    with pytest.raises(ValueError, match="key"):
        await store.put(key, chunked(b"hostile"))
    with pytest.raises(ValueError, match="key"):
        store.read(key)
    with pytest.raises(ValueError, match="key"):
        async with store.opened(key):
            pass
    with pytest.raises(ValueError, match="key"):
        await store.delete(key)
    assert await keys_of(store) == []


@pytest.mark.parametrize("prefix", [each for each in HOSTILE if each not in ("", "uploads/")], ids=ascii)
async def test_no_other_prefix_is_taken(stage: Stage, prefix: str) -> None:
    with pytest.raises(ValueError, match="key"):
        stage.store.keys(prefix)


@pytest.mark.parametrize("key", ["u", "a.b_c-d/0.csv", "..a", "a..", "u" * KEY_LENGTH])
async def test_every_key_of_the_form_is_taken(stage: Stage, key: str) -> None:
    await stage.store.put(key, chunked(b"content"))
    assert await keys_of(stage.store) == [key]
    assert await content_of(stage.store, key) == b"content"


async def test_what_is_not_older_is_not_purged(stage: Stage) -> None:
    reached = asyncio.Event()
    before = datetime.now(UTC) - timedelta(hours=1)
    putting = asyncio.create_task(stage.store.put("uploads/1", then_hang(reached, chunks_of(bytes(MIB), 6))))
    await reached.wait()
    assert await stage.leftovers() == 1
    assert await stage.store.purge_partial(before) == 0
    assert await stage.leftovers() == 1
    putting.cancel()
    await asyncio.wait({putting})
    await until(lambda: nothing_left(stage))


async def test_a_store_that_works_says_so(stage: Stage) -> None:
    await stage.store.check()
    assert await keys_of(stage.store) == []
    assert await stage.leftovers() == 0


async def test_memory_stays_flat_for_a_large_blob(stage: Stage) -> None:
    chunk = some_bytes(MIB)
    await stage.store.put("uploads/0", chunked(b"what is made once is made"))
    tracemalloc.start()
    try:
        blob = await stage.store.put("uploads/1", chunks_of(chunk, LARGE_MIB))
        async with aclosing(stage.store.read("uploads/1")) as pieces:
            read = sum([len(piece) async for piece in pieces])
        async with stage.store.opened("uploads/1") as file:
            assert file.seek(0, os.SEEK_END) == LARGE_MIB * MIB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert blob.size == read == LARGE_MIB * MIB
    assert peak < FLAT_BYTES
