"""The store in a bucket of whatever speaks S3."""

import asyncio
import base64
import hashlib
import logging
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from warehouse.blobs.batches import batches
from warehouse.blobs.bucket import Bucket, PastTheEnd
from warehouse.blobs.disk import on_disk
from warehouse.blobs.store import PIECE_BYTES, Blob, BlobInfo, checked_key, checked_prefix, checked_start
from warehouse.blobs.upload import Upload, abort_upload
from warehouse.errors import Unavailable
from warehouse.resilience import detached

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes for a part; of 10,000 parts it takes no more, so a blob has at most 48 GiB."""
RANGE_BYTES = 4 * 1024 * 1024
"""Read by one call, so that the policy holds for all of a blob, and a slow reader holds no connection."""
LISTED = 1000
"""Told by one call; S3 tells no more."""

log = logging.getLogger(__name__)


class S3BlobStore:
    """A blob of one part is put by one call, a larger one by an upload."""

    def __init__(self, bucket: Bucket, prefix: str, scratch: Path) -> None:
        """`prefix` stands before every key. `scratch` is a folder for copies that have to be files."""
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._scratch = scratch
        self._aborting: set[asyncio.Task[None]] = set()

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        name = self._name(key)
        content = _Content()
        async with aclosing(batches(chunks, PART_BYTES)) as parts:
            first = await anext(parts, bytearray())
            if len(first) < PART_BYTES:
                await self._bucket.call("put_object", Key=name, **await content.body(first))
            else:
                await self._put_parts(name, content, first, parts)
        return Blob(key, content.size, content.sha256.digest())

    def read(self, key: str, start: int = 0) -> AsyncGenerator[bytes]:
        return self._pieces(self._name(key), checked_start(start))

    @asynccontextmanager
    async def opened(self, key: str) -> AsyncIterator[BinaryIO]:
        with ExitStack() as files:
            file = await on_disk(self._new_file, files)
            async with aclosing(self._ranges(self._name(key), 0)) as contents:
                async for content in contents:
                    await on_disk(file.write, content)
            await on_disk(file.seek, 0)
            yield file

    async def delete(self, key: str) -> None:
        await self._bucket.call("delete_object", Key=self._name(key))

    def keys(self, prefix: str) -> AsyncGenerator[BlobInfo]:
        return self._infos(checked_prefix(prefix))

    async def purge_partial(self, before: datetime) -> int:
        """They are as old as their beginning. A rule of the bucket (AbortIncompleteMultipartUpload) does the same."""
        purged: set[str] = set()
        while True:
            # Always the first page: not every store tells how to go on, and what is aborted is not told again.
            answer = await self._bucket.call("list_multipart_uploads", Prefix=self._prefix, MaxUploads=LISTED)
            told = [each for each in answer.get("Uploads", ()) if each["Key"].startswith(self._prefix)]
            old = {each["UploadId"]: each["Key"] for each in told if each["Initiated"] < before}
            for upload in old.keys() - purged:
                await abort_upload(self._bucket, old[upload], upload)
            if old.keys() <= purged or not answer.get("IsTruncated"):
                return len(purged | old.keys())
            purged |= old.keys()

    async def check(self) -> None:
        await self._bucket.call("head_bucket")

    async def close(self) -> None:
        await asyncio.gather(*self._aborting, return_exceptions=True)
        await self._bucket.close()

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    async def _put_parts(
        self, name: str, content: "_Content", first: bytearray, rest: AsyncIterable[bytearray]
    ) -> None:
        upload = Upload(self._bucket, name)
        try:
            await upload.begin()
            await upload.put(await content.body(first))
            async for part in rest:
                await upload.put(await content.body(part))
            await upload.complete(content.size)
        except BaseException:
            self._abandon(name, upload)
            raise

    def _abandon(self, name: str, upload: Upload) -> None:
        """Nobody waits for it, least of all one who was cancelled or met a store that does not answer."""
        aborting = detached(_abort_or_leave(name, upload))
        self._aborting.add(aborting)
        aborting.add_done_callback(self._aborting.discard)

    async def _pieces(self, name: str, start: int) -> AsyncGenerator[bytes]:
        async with aclosing(self._ranges(name, start)) as contents:
            async for content in contents:
                for begun in range(0, len(content), PIECE_BYTES):
                    yield content[begun : begun + PIECE_BYTES]

    async def _ranges(self, name: str, start: int) -> AsyncGenerator[bytes]:
        unchanged: Mapping[str, str] = {}
        while True:
            wanted = f"bytes={start}-{start + RANGE_BYTES - 1}"
            try:
                answer = await self._bucket.call("get_object", Key=name, Range=wanted, **unchanged)
            except PastTheEnd:
                return
            content: bytes = answer["Body"]
            yield content
            start += len(content)
            if start >= int(answer["ContentRange"].rpartition("/")[2]):
                return
            unchanged = {"IfMatch": answer["ETag"]}

    async def _infos(self, prefix: str) -> AsyncGenerator[BlobInfo]:
        after: Mapping[str, str] = {}
        while True:
            answer = await self._bucket.call("list_objects_v2", Prefix=self._prefix + prefix, MaxKeys=LISTED, **after)
            for each in answer.get("Contents", ()):
                yield BlobInfo(each["Key"].removeprefix(self._prefix), each["Size"], each["LastModified"])
            if not answer.get("IsTruncated"):
                return
            after = {"ContinuationToken": answer["NextContinuationToken"]}

    def _new_file(self, files: ExitStack) -> BinaryIO:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return files.enter_context(tempfile.TemporaryFile(dir=self._scratch))


async def _abort_or_leave(name: str, upload: Upload) -> None:
    try:
        await upload.abort()
    except Unavailable as error:
        log.warning("blobs.upload_left key=%s error=%s", name, error)


class _Content:
    """What has been sent so far."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()

    async def body(self, part: bytearray) -> Mapping[str, Any]:
        """The arguments to send it by. S3 compares the hash, and refuses what has suffered on its way."""
        digest = await asyncio.to_thread(self._add, part)
        return {"Body": part, "ContentMD5": base64.b64encode(digest).decode()}

    def _add(self, part: bytearray) -> bytes:
        self.size += len(part)
        self.sha256.update(part)
        return hashlib.md5(part, usedforsecurity=False).digest()
