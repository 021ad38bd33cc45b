"""Both stores, empty for every test."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import pytest

from tests.blobs.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs
from tests.blobs.stage import FolderStage, NewS3, S3Stage, Stage
from warehouse.blobs.bucket import Address, Bucket
from warehouse.blobs.folder import FolderBlobStore
from warehouse.blobs.s3 import S3BlobStore
from warehouse.policies import Overrides, Policies

Kind = Literal["folder", "s3"]


@pytest.fixture(scope="session")
def seaweed() -> Iterator[SeaweedFs]:
    with SeaweedFs() as server:
        yield server


@pytest.fixture(scope="session")
def address(seaweed: SeaweedFs) -> Address:
    return Address(BUCKET, seaweed.url, "us-east-1", ACCESS_KEY, SECRET_KEY)


@pytest.fixture(scope="session")
async def bucket(address: Address) -> AsyncIterator[Bucket]:
    bucket = Bucket(address, Policies().blobs)
    await bucket.call("create_bucket")
    yield bucket
    await bucket.close()


@pytest.fixture
async def new_s3(bucket: Bucket, address: Address, tmp_path: Path) -> AsyncIterator[NewS3]:
    """Stores of one prefix, which is new."""
    own: list[S3BlobStore] = []
    prefix = secrets.token_hex(8)

    def new_s3(endpoint: str = "", policy: Overrides | None = None) -> S3Stage:
        if not endpoint and policy is None:
            return S3Stage(S3BlobStore(bucket, prefix, tmp_path / "scratch"), bucket, prefix)
        place = replace(address, endpoint=endpoint or address.endpoint)
        other = Bucket(place, Policies(overrides={"blobs": policy or {}}).blobs)
        own.append(S3BlobStore(other, prefix, tmp_path / "scratch"))
        return S3Stage(own[-1], other, prefix)

    yield new_s3
    for store in own:
        await store.close()


@pytest.fixture
def folder(tmp_path: Path) -> FolderStage:
    return FolderStage(FolderBlobStore(tmp_path / "blobs"), tmp_path / "blobs")


@pytest.fixture(params=get_args(Kind))
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "folder":
        folder: FolderStage = request.getfixturevalue("folder")
        return folder
    new_s3: NewS3 = request.getfixturevalue("new_s3")
    return new_s3()
