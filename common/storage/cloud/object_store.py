"""The interface to a bucket, and how to open one."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pycytominer_transform.common.errors import SourceChangedError, StorageError, UsageError
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.uri import CloudUri

CONNECT_SECONDS, READ_SECONDS = 5, 30
SINGLE_BYTES = 4 << 20
"""Larger objects are uploaded in parts."""
PART_BYTES = 16 << 20
"""Size of a part of an upload."""


class NoSuchObjectError(StorageError):
    """The object does not exist."""


class ObjectChangedError(StorageError):
    """The condition of a request does not hold: the object is another version, or exists although it must not."""


@dataclass(frozen=True)
class StoredObject:
    """One object as its store describes it.

    Attributes
    ----------
    size : int
        In bytes.
    mark : str
        Names the version of the object: its ETag, without quotes, or its generation.
    """

    key: str
    size: int
    mark: str


class ObjectStore(Protocol):
    """One bucket; its methods can be called by several threads at once.

    All raise a TransientStorageError for a transient error, else another PctError of one line.
    """

    name: str

    def list_below(self, prefix: str) -> list[StoredObject]:
        """List all objects below a prefix that ends in a slash, or in the whole bucket; none that stands for a folder.

        Raises
        ------
        SourceNotFoundError
            There is no such bucket.
        """

    def find(self, key: str) -> StoredObject | None:
        """Describe one object; None if it does not exist."""

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read the bytes from `start` up to `end`, at least one, all of them within the object.

        Raises
        ------
        SourceChangedError
            The object does not exist any more, or is another version.
        """

    def put(self, key: str, content: bytes, *, overwrite: bool) -> None:
        """Write an object in one request.

        Raises
        ------
        ObjectChangedError
            The object exists, and must not be overwritten.
        """

    def upload(self, key: str, pieces: Iterator[bytes], *, overwrite: bool) -> None:
        """Write an object in parts; it is visible after the last one, and an error that `pieces` raises removes them.

        Raises
        ------
        ObjectChangedError
            The object exists, must not be overwritten, and the store can tell.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that does not exist is no error."""


def changed_error(where: str) -> SourceChangedError:
    """Return the error for an object that is not the version listed."""
    return SourceChangedError(f"{where}: is gone or has changed since it was listed; run pct-discover again")


_opening = threading.Lock()


def open_store(uri: CloudUri, options: StorageOptions) -> ObjectStore:
    """Open the bucket of a URI, or return it if it is open with the same options.

    Raises
    ------
    UsageError
        The options do not fit the provider, or its library is not installed.
    StorageError
        There are no credentials.
    """
    with _opening:
        return _opened(uri.scheme, uri.bucket, options)


@functools.cache
def _opened(scheme: str, bucket: str, options: StorageOptions) -> ObjectStore:
    try:
        if scheme == "gs":
            from pycytominer_transform.common.storage.cloud.gcs_bucket import GcsBucket

            return GcsBucket(bucket, options)
        from pycytominer_transform.common.storage.cloud.s3_azure_bucket import ObstoreBucket

        return ObstoreBucket(scheme, bucket, options)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{scheme}:// needs {error.name}, which is not installed; pip install pycytominer-transform "
            "brings it; of the images pct-flow has it, and one that is built with CLOUD=with"
        ) from error


forget_stores = _opened.cache_clear
"""Forgets the open buckets, so that the next ones follow the present environment."""
