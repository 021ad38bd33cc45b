"""Calls of one S3 bucket, each by the policy. All that is known of aiobotocore stands here."""

import asyncio
import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from warehouse.errors import Code, NotFound, Unavailable
from warehouse.resilience import (
    CircuitOpenError,
    DeadlineExceeded,
    Policy,
    ResilienceError,
    RetryExhaustedError,
    detached,
)

CONNECTIONS = 100
GRACE_SECONDS = 1.0
"""The policy's time-out comes first: it knows what it was that took so long."""
ABSENT = {"NoSuchKey", "NoSuchUpload", "PreconditionFailed"}
"""The last: it is not any more what it was at the beginning."""
NO_ANSWER = "The file storage does not answer."
NOT_LET_IN = "The file storage does not let the service in."
NO_BUCKET = "The file storage has no such bucket."

Answer = dict[str, Any]


class PastTheEnd(NotFound):
    """The blob is there, but not that part of it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Empty: what the library finds in the environment, in its files, or at the machine's own metadata service."""

    bucket: str
    endpoint: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


class Bucket:
    def __init__(self, address: Address, policy: Policy) -> None:
        self._address = address
        self._policy = policy
        self._exits = AsyncExitStack()
        self._connecting: asyncio.Task[Any] | None = None

    async def call(self, operation: str, **parameters: Any) -> Answer:
        """A method of aiobotocore's client by its name, without the bucket. Bodies are bytes, there and back.

        Raises `NotFound`, `PastTheEnd` or `Unavailable`.
        """
        try:
            return await self._policy.call(self._attempt, operation, parameters)
        except (ResilienceError, TimeoutError) as error:
            raise _told(error) from error

    async def close(self) -> None:
        if self._connecting is not None:
            await asyncio.wait((self._connecting,))
        await self._exits.aclose()

    async def _attempt(self, operation: str, parameters: Mapping[str, Any]) -> Answer:
        try:
            client = await self._connected()
            answer: Answer = await getattr(client, operation)(Bucket=self._address.bucket, **_streamed(parameters))
            if "Body" in answer:
                async with answer["Body"] as body:
                    answer["Body"] = await body.read()
        except ClientError as error:
            raise _meaning(error, operation) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise Unavailable("The file storage needs credentials, and there are none.") from error
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(NO_ANSWER) from error
        return answer

    async def _connected(self) -> Any:
        """Made in the event loop that it is used in, so not before the first call; and not for that one alone."""
        if self._connecting is None or (self._connecting.done() and self._connecting.exception()):
            self._connecting = detached(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Any:
        session, address = get_session(), self._address
        # A client without credentials would stay without; the machine may only have been slow to give them.
        if not address.access_key and await session.get_credentials() is None:
            raise NoCredentialsError
        client = session.create_client(
            "s3",
            endpoint_url=address.endpoint or None,
            region_name=address.region or None,
            aws_access_key_id=address.access_key or None,
            aws_secret_access_key=address.secret_key or None,
            config=_config(self._policy.settings.timeout + GRACE_SECONDS, "path" if address.endpoint else "auto"),
        )
        return await self._exits.enter_async_context(client)


def _config(seconds: float, addressing: str) -> AioConfig:
    return AioConfig(
        connect_timeout=seconds,
        read_timeout=seconds,
        max_pool_connections=CONNECTIONS,
        # The policy retries.
        retries={"total_max_attempts": 1},
        # Many stores that speak S3 do not know the newer checksums, or names of buckets as host names.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # The content has its own hash, which is signed; to sign it too would keep the event loop busy.
        s3={"addressing_style": addressing, "payload_signing_enabled": False},
    )


def _streamed(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A new stream for every attempt: aiohttp sends a large body of bytes in one go, and warns of it."""
    return {**parameters, "Body": BytesIO(parameters["Body"])} if "Body" in parameters else parameters


def _meaning(error: ClientError, operation: str) -> NotFound | Unavailable:
    """HEAD has no body, so there the status stands for the code."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket" or (operation == "head_bucket" and status == 404):
        return Unavailable(NO_BUCKET)
    if code in ABSENT or status == 404:
        return NotFound("There is no such blob.")
    if status == 416:
        return PastTheEnd("The blob ends before.")
    return Unavailable(NOT_LET_IN if status in (401, 403) else NO_ANSWER)


def _told(error: ResilienceError | TimeoutError) -> Unavailable:
    match error:
        case RetryExhaustedError(__cause__=Unavailable() as cause):
            # Not itself: an error that is its own cause is walked through without end.
            return Unavailable(cause.detail)
        case CircuitOpenError():
            return Unavailable(NO_ANSWER, retry_after=math.ceil(error.retry_after))
        case DeadlineExceeded():
            return Unavailable("The request was not done in time.", code=Code.TIMEOUT)
    return Unavailable(NO_ANSWER)
