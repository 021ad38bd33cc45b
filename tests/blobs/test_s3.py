"""S3 does not answer, refuses, or breaks off: whoever asked is told so in time, and nothing is left half-written.

The server is a real one (SeaweedFS), and speaks S3 over HTTP. What stands before it does the rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.blobs.gate import Gate
from tests.blobs.seaweed import BUCKET, SECRET_KEY, SeaweedFs
from tests.blobs.stage import (
    MIB,
    NewS3,
    S3Stage,
    chunked,
    chunks_of,
    content_of,
    keys_of,
    then_hang,
)
from tests.faults.proxy import Network, Proxy, Verdict
from tests.servers import HOST
from warehouse.blobs import BlobStore, s3
from warehouse.blobs.bucket import Address, Bucket
from warehouse.blobs.s3 import RANGE_BYTES, S3BlobStore
from warehouse.errors import Code, NotFound, Unavailable
from warehouse.policies import Overrides, Policies
from warehouse.resilience import deadline

KEY = "uploads/1"
TIMEOUT = 1.0
GRACE = 4.0
"""The machine has other things to do as well."""
HASTY: Overrides = {"timeout": TIMEOUT, "backoff": 0.01, "open_seconds": 0.01, "fail_max": 1000, "minimum_calls": 100}

PATIENT: Overrides = {**HASTY, "timeout": 10.0}


async def connected(new_s3: NewS3, url: str, policy: Overrides = HASTY) -> S3Stage:
    """One that has worked."""
    stage: S3Stage = new_s3(url, policy)
    with suppress(Unavailable):  # The client takes its time to be made.
        await stage.store.check()
    await stage.store.check()
    return stage


async def open_and_close(store: BlobStore) -> None:
    async with store.opened(KEY):
        pass


USES: dict[str, Callable[[BlobStore], Awaitable[object]]] = {
    "put": lambda store: store.put(KEY, chunked(b"short")),
    "put of many parts": lambda store: store.put(KEY, chunks_of(bytes(MIB), 12)),
    "read": lambda store: content_of(store, KEY),
    "opened": open_and_close,
    "delete": lambda store: store.delete(KEY),
    "keys": keys_of,
    "purge": lambda store: store.purge_partial(datetime.now(UTC)),
    "check": lambda store: store.check(),
}
for_every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@asynccontextmanager
async def unavailable_within(seconds: float) -> AsyncIterator[None]:
    begun = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        yield
    assert time.monotonic() - begun < seconds
    assert refused.value.retry_after >= 1
    assert "storage" in refused.value.detail
    assert SECRET_KEY not in repr(refused.value)
    assert HOST not in str(refused.value)


def upload_later_than(part: int) -> Callable[[str], int | None]:
    """Refuses each part after that one."""

    def refuses(line: str) -> int | None:
        _, _, number = line.partition("partNumber=")
        return 503 if number and int(number.split("&")[0].split(" ")[0]) > part else None

    return refuses


@pytest.mark.parametrize("network", [Network.REFUSE, Network.BLACKHOLE, Network.MUTE])
@for_every_use
async def test_nobody_answers_any_more(
    seaweed: SeaweedFs, new_s3: NewS3, use: Callable[[BlobStore], Awaitable[object]], network: Network
) -> None:
    async with Proxy(seaweed.port) as proxy:
        stage = await connected(new_s3, f"http://{HOST}:{proxy.port}")
        await proxy.become(network)
        async with unavailable_within(TIMEOUT + GRACE):
            await use(stage.store)
        await stage.store.close()


@pytest.mark.parametrize("status", [500, 503])
@for_every_use
async def test_everything_is_refused(
    seaweed: SeaweedFs, new_s3: NewS3, use: Callable[[BlobStore], Awaitable[object]], status: int
) -> None:
    async with Gate(seaweed.port) as gate:
        # Three attempts need not fit into a second.
        stage = await connected(new_s3, gate.url, PATIENT)
        gate.seen.clear()
        gate.refuses = lambda _: status
        async with unavailable_within(PATIENT["timeout"]):
            await use(stage.store)
        assert len(gate.seen) == 3


@for_every_use
async def test_what_is_refused_once_is_tried_again(
    seaweed: SeaweedFs, new_s3: NewS3, use: Callable[[BlobStore], Awaitable[object]]
) -> None:
    direct = new_s3()
    await direct.store.put(KEY, chunked(b"before"))
    async with Gate(seaweed.port) as gate:
        refused: set[str] = set()

        def refuses(line: str) -> int | None:
            if line in refused:
                return None
            refused.add(line)
            return 503

        gate.refuses = refuses
        await use(new_s3(gate.url, PATIENT).store)
        assert refused
    assert await direct.leftovers() == 0


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_put_whose_part_is_refused_leaves_nothing(seaweed: SeaweedFs, new_s3: NewS3, part: int) -> None:
    direct = new_s3()
    await direct.store.put(KEY, chunked(b"before"))
    async with Gate(seaweed.port) as gate:
        gate.refuses = upload_later_than(part)
        stage = new_s3(gate.url, PATIENT)
        with pytest.raises(Unavailable):
            await stage.store.put(KEY, chunks_of(bytes(MIB), 12))
        await stage.store.close()
    assert await direct.leftovers() == 0
    assert await content_of(direct.store, KEY) == b"before"


async def test_a_put_whose_completion_is_refused_leaves_nothing(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    direct = new_s3()
    async with Gate(seaweed.port) as gate:
        gate.refuses = lambda line: 500 if line.startswith("POST") and "uploadId=" in line else None
        stage = new_s3(gate.url, PATIENT)
        with pytest.raises(Unavailable):
            await stage.store.put(KEY, chunks_of(bytes(MIB), 6))
        await stage.store.close()
    assert await direct.leftovers() == 0
    assert await keys_of(direct.store) == []


async def test_a_put_whose_last_answer_is_lost_is_found_to_be_done(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    lost: list[bytes] = []

    def watch(data: bytes) -> Verdict:
        if data.startswith(b"POST") and b"uploadId=" in data and not lost:
            lost.append(data)
            return Verdict.LOSE_ANSWER
        return Verdict.PASS

    async with Proxy(seaweed.port) as proxy:
        proxy.watch = watch
        stage = new_s3(f"http://{HOST}:{proxy.port}", PATIENT)
        blob = await stage.store.put(KEY, chunks_of(bytes(MIB), 6))
        assert lost
        assert blob.size == len(await content_of(stage.store, KEY)) == 6 * MIB
        await stage.store.close()


async def test_what_a_put_leaves_while_nobody_answers_is_purged_later(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    direct = new_s3()
    async with Proxy(seaweed.port) as proxy:
        stage = await connected(new_s3, f"http://{HOST}:{proxy.port}", PATIENT)
        reached = asyncio.Event()
        putting = asyncio.create_task(stage.store.put(KEY, then_hang(reached, chunks_of(bytes(MIB), 6))))
        await reached.wait()
        await proxy.become(Network.BLACKHOLE)
        begun = time.monotonic()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert time.monotonic() - begun < PATIENT["timeout"] / 2
        await stage.store.close()
    assert await direct.leftovers() == 1
    assert await direct.store.purge_partial(datetime.now(UTC) + timedelta(seconds=2)) == 1
    assert await direct.leftovers() == 0
    assert await keys_of(direct.store) == []


async def test_a_read_that_breaks_off_is_no_shorter_blob(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    await new_s3().store.put(KEY, chunked(bytes(RANGE_BYTES + 1)))
    async with Proxy(seaweed.port) as proxy:
        stage = await connected(new_s3, f"http://{HOST}:{proxy.port}")
        pieces = stage.store.read(KEY)
        await anext(pieces)
        await proxy.become(Network.BLACKHOLE)
        async with unavailable_within(TIMEOUT + GRACE):
            async for _ in pieces:
                pass
        await stage.store.close()


async def test_a_caller_in_a_hurry_waits_no_longer(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    async with Proxy(seaweed.port) as proxy:
        await proxy.become(Network.BLACKHOLE)
        stage = new_s3(f"http://{HOST}:{proxy.port}")
        begun = time.monotonic()
        with pytest.raises(Unavailable) as refused, deadline(0.2):
            await stage.store.put(KEY, chunked(b"short"))
        assert time.monotonic() - begun < TIMEOUT + GRACE
        assert refused.value.code is Code.TIMEOUT
        await stage.store.close()


async def test_an_open_circuit_spares_the_store(seaweed: SeaweedFs, new_s3: NewS3) -> None:
    async with Gate(seaweed.port) as gate:
        gate.refuses = lambda _: 503
        stage = new_s3(gate.url, {"backoff": 0.01, "open_seconds": 60.0})
        for _ in range(5):
            with pytest.raises(Unavailable):
                await stage.store.check()
        assert len(gate.seen) == 9


async def test_what_is_not_there_opens_no_circuit(new_s3: NewS3) -> None:
    store = new_s3(policy={"fail_max": 1}).store
    for _ in range(3):
        with pytest.raises(NotFound):
            await content_of(store, KEY)
    await store.check()


@pytest.mark.parametrize(
    ("bucket", "secret", "said"),
    [("nowhere", SECRET_KEY, "no such bucket"), (BUCKET, "another secret", "not let the service in")],
)
async def test_the_check_tells_what_is_wrong(seaweed: SeaweedFs, bucket: str, secret: str, said: str) -> None:
    address = Address(bucket, seaweed.url, "us-east-1", "warehouse", secret)
    assert secret not in repr(address)
    store = S3BlobStore(Bucket(address, Policies().blobs), "", scratch=None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match=said):
        await store.check()
    await store.close()


async def test_long_lists_come_by_pages(new_s3: NewS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "LISTED", 2)
    stage: S3Stage = new_s3()
    keys = [f"uploads/{number}" for number in range(5)]
    for key in keys:
        await stage.store.put(key, chunked(b"short"))
        upload = await stage.bucket.call("create_multipart_upload", Key=f"{stage.prefix}/{key}")
        assert upload["UploadId"]
    assert await keys_of(stage.store) == keys
    assert await stage.store.purge_partial(datetime.now(UTC) + timedelta(seconds=2)) == 5
    assert await stage.leftovers() == 0
