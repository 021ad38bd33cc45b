"""One upload of many parts, which S3 shows to nobody before it is completed."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from warehouse.blobs.bucket import NO_ANSWER, Answer, Bucket
from warehouse.errors import NotFound, Unavailable


class Upload:
    """Who waits may be cancelled, and what is under way goes on: only so is it known what there is to abort."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._id = ""
        self._parts: list[Mapping[str, Any]] = []
        self._under_way: asyncio.Task[Answer] | None = None

    async def begin(self) -> None:
        await self._do(self._begin())

    async def put(self, body: Mapping[str, Any]) -> None:
        number = len(self._parts) + 1
        answer = await self._call("upload_part", PartNumber=number, **body)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    async def complete(self, size: int) -> None:
        try:
            await self._call("complete_multipart_upload", MultipartUpload={"Parts": self._parts})
        except NotFound:
            # An attempt before, whose answer was lost, has completed it.
            if (await self._bucket.call("head_object", Key=self._name))["ContentLength"] != size:
                raise Unavailable(NO_ANSWER) from None

    async def abort(self) -> None:
        """A part that arrived after that would stay, so what is under way comes first."""
        if self._under_way is not None:
            await asyncio.gather(self._under_way, return_exceptions=True)
        if self._id:
            await abort_upload(self._bucket, self._name, self._id)

    async def _begin(self) -> Answer:
        answer = await self._bucket.call("create_multipart_upload", Key=self._name)
        self._id = answer["UploadId"]
        return answer

    async def _call(self, operation: str, **parameters: Any) -> Answer:
        return await self._do(self._bucket.call(operation, Key=self._name, UploadId=self._id, **parameters))

    async def _do(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        self._under_way = asyncio.create_task(call)
        return await asyncio.shield(self._under_way)


async def abort_upload(bucket: Bucket, name: str, upload: str) -> None:
    with suppress(NotFound):  # It is completed or aborted already.
        await bucket.call("abort_multipart_upload", Key=name, UploadId=upload)
