"""Where bytes rest that are too many for a row: uploads until a worker has imported them, results until they expire.

It knows nothing of what the bytes are, and, but for errors and policies, nothing of the service around it.
docs/decisions/0018-blob-store.md says why it is as it is.
"""

from warehouse.blobs.store import Blob, BlobInfo, BlobStore

__all__ = ["Blob", "BlobInfo", "BlobStore"]
