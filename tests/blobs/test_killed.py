"""A process is killed in the middle of a put."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.blobs.putting import KEY, LETTERS, MIBS
from tests.blobs.seaweed import SeaweedFs
from tests.blobs.stage import MIB, FolderStage, S3Stage, Stage, content_of, keys_of
from warehouse.errors import NotFound

ROOT = Path(__file__).parents[2]
KILLS = 8
SEED = 20261125
WHOLE = {letter.encode() * MIBS * MIB for letter in LETTERS}


def arguments(stage: Stage, seaweed: SeaweedFs) -> list[str]:
    if isinstance(stage, FolderStage):
        return ["folder", str(stage.folder)]
    assert isinstance(stage, S3Stage)
    return ["s3", seaweed.url, stage.prefix]


@asynccontextmanager
async def killed(*command: str, after: str) -> AsyncIterator[None]:
    """The process has said that, and is killed when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.blobs.putting", *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            while (line := await process.stdout.readline()) != f"{after}\n".encode():
                assert line, "it ended by itself"
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("whole", [0, 1])
async def test_the_killed_put_is_not_seen_and_is_purged(stage: Stage, seaweed: SeaweedFs, whole: int) -> None:
    async with killed(*arguments(stage, seaweed), str(whole), after="hanging"):
        assert await stage.leftovers() == 1
    if whole:
        assert await content_of(stage.store, KEY) in WHOLE
    else:
        with pytest.raises(NotFound):
            await content_of(stage.store, KEY)
    assert await keys_of(stage.store) == [KEY] * whole
    assert await stage.leftovers() == 1
    now = datetime.now(UTC)
    assert await stage.store.purge_partial(now - timedelta(hours=1)) == 0
    assert await stage.store.purge_partial(now + timedelta(seconds=2)) == 1
    assert await stage.leftovers() == 0
    assert await keys_of(stage.store) == [KEY] * whole


async def test_whenever_it_is_killed_what_is_there_is_whole(stage: Stage, seaweed: SeaweedFs) -> None:
    chance = random.Random(SEED)  # noqa: S311 (nothing here is secret)
    for _ in range(KILLS):
        async with killed(*arguments(stage, seaweed), "-1", after="begun"):
            await asyncio.sleep(chance.random() * 0.1)  # The moment is what is tried.
        assert await content_of(stage.store, KEY) in WHOLE
    await stage.store.purge_partial(datetime.now(UTC) + timedelta(seconds=2))
    assert await stage.leftovers() == 0
