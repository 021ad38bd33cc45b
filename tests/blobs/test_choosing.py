"""The settings choose the store."""

from pathlib import Path

import pytest

from tests.blobs.seaweed import ACCESS_KEY, SECRET_KEY
from tests.blobs.stage import chunked, content_of, keys_of
from warehouse.blobs.bucket import Address
from warehouse.blobs.choosing import make_blob_store
from warehouse.blobs.folder import FolderBlobStore
from warehouse.blobs.s3 import S3BlobStore
from warehouse.errors import Unavailable
from warehouse.policies import Policies
from warehouse.settings import Settings


async def test_by_itself_blobs_rest_in_the_data_directory(tmp_path: Path) -> None:
    store = make_blob_store(Settings.model_validate({"data_dir": tmp_path / "var"}), Policies())
    assert isinstance(store, FolderBlobStore)
    await store.put("uploads/1", chunked(b"content"))
    assert (tmp_path / "var/blobs/uploads/1").read_bytes() == b"content"


@pytest.mark.usefixtures("bucket")
async def test_a_url_sends_them_to_its_bucket_and_prefix(address: Address, tmp_path: Path) -> None:
    blobs = {
        "url": f"s3://{address.bucket}/chosen/here",
        "endpoint": address.endpoint,
        "region": "us-east-1",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    }
    policies = Policies()
    store = make_blob_store(Settings.model_validate({"data_dir": tmp_path, "blobs": blobs}), policies)
    whole = make_blob_store(
        Settings.model_validate({"data_dir": tmp_path, "blobs": {**blobs, "url": f"s3://{address.bucket}"}}), policies
    )
    assert isinstance(store, S3BlobStore)
    await store.put("uploads/1", chunked(b"content"))
    assert await content_of(whole, "chosen/here/uploads/1") == b"content"
    assert await keys_of(store) == ["uploads/1"]
    async with store.opened("uploads/1") as file:
        assert file.read() == b"content"
    # The copy had no name, so nothing of it can stay.
    assert list((tmp_path / "blobs").iterdir()) == []
    for each in (store, whole):
        await each.close()


@pytest.mark.usefixtures("bucket")
async def test_region_and_credentials_may_come_from_the_environment(
    address: Address, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where they are not there at first."""
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    blobs = {"url": f"s3://{address.bucket}", "endpoint": address.endpoint}
    store = make_blob_store(Settings.model_validate({"data_dir": tmp_path, "blobs": blobs}), Policies())
    with pytest.raises(Unavailable, match="needs credentials"):
        await store.check()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    await store.check()
    await store.close()
