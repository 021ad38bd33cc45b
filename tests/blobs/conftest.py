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
async def address(seaweed: SeaweedFs) -> Address:
    """Of a bucket that is there."""
    address = Address(BUCKET, seaweed.url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    bucket = Bucket(address, Policies().blobs)
    await bucket.call("create_bucket")
    await bucket.close()
    return address


@pytest.fixture
async def new_s3(address: Address, tmp_path: Path) -> AsyncIterator[NewS3]:
    """A store of its own prefix, at another endpoint or by another policy where that is wanted."""
    stages: list[S3Stage] = []
    prefix = secrets.token_hex(8)

    def new_s3(endpoint: str = "", policy: Overrides | None = None) -> S3Stage:
        place = replace(address, endpoint=endpoint or address.endpoint)
        bucket = Bucket(place, Policies(overrides={"blobs": policy or {}}).blobs)
        stages.append(S3Stage(S3BlobStore(bucket, prefix, tmp_path / "scratch"), bucket, prefix))
        return stages[-1]

    yield new_s3
    for stage in stages:
        await stage.store.close()


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
