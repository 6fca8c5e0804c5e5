"""Files from the cloud that have to lie on a disk to be read."""

from __future__ import annotations

from pathlib import Path

from pycytominer_transform.common.cloud_uri import CloudUri
from pycytominer_transform.common.object_store import ObjectStore, StoredObject
from pycytominer_transform.common.storage_options import StorageOptions


def cached_file(store: ObjectStore, stored: StoredObject, uri: CloudUri, options: StorageOptions) -> Path:
    """Give a file on this machine with an object's content."""
    raise NotImplementedError
