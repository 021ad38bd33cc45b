"""Which store the settings mean."""

from warehouse.blobs.folder import FolderBlobStore
from warehouse.blobs.store import BlobStore
from warehouse.policies import Policies
from warehouse.settings import Settings

FOLDER = "blobs"
"""In the data directory."""


def make_blob_store(settings: Settings, policies: Policies) -> BlobStore:
    folder = settings.data_dir / FOLDER
    if not settings.blobs.url:
        return FolderBlobStore(folder)
    # What they stand on is installed only where somebody wants it.
    from warehouse.blobs.bucket import Address, Bucket
    from warehouse.blobs.s3 import S3BlobStore

    blobs = settings.blobs
    name, prefix = blobs.place
    secret = blobs.secret_key.get_secret_value()
    address = Address(name, blobs.endpoint, blobs.region, blobs.access_key, secret)
    return S3BlobStore(Bucket(address, policies.blobs), prefix, scratch=folder)
