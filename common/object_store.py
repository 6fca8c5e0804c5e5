"""What the stages ask of a bucket, whoever keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pycytominer_transform.common.cloud_uri import CloudUri
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.storage_options import StorageOptions


class NoSuchObjectError(StorageError):
    """There is no object of that name."""


class ObjectChangedError(StorageError):
    """An object is another one than the condition of a request says, or is there although none may be."""


_INSTALL = (
    "pip install 'pycytominer-transform[azure]' brings all that cloud storage takes; of the images pct-flow has it, "
    "and what is built with CLOUD=with"
)


@dataclass(frozen=True)
class StoredObject:
    """One object as its store describes it.

    Attributes
    ----------
    size : int
        In bytes.
    mark : str
        What changes whenever the object does: its ETag, without quotes, or its generation.
    """

    key: str
    size: int
    mark: str


class Upload(Protocol):
    """An object on its way into a store; nothing is to be seen of it before it is complete."""

    def put_part(self, number: int, content: bytes) -> None:
        """Send a part, numbered from 1; all but the last have the store's `ObjectStore.part_bytes`."""

    def complete(self) -> None:
        """Make the object of the parts that were sent.

        Raises
        ------
        DestinationExistsError
            There is one already, and it is not to be overwritten.
        """

    def abort(self) -> None:
        """Take back all that was sent."""


class ObjectStore(Protocol):
    """One bucket.

    All methods raise a PassingStorageError where asking again may help, else another PctError of one line; all may be
    called by several threads at once.

    Attributes
    ----------
    part_bytes : int
        Size of the parts of an upload.
    parts_at_once : int
        How many parts of one upload may be sent at the same time.
    """

    part_bytes: int
    parts_at_once: int

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """List all objects whose keys begin with a prefix, however deep, page by page; tries again by itself.

        Raises
        ------
        SourceNotFoundError
            There is no such bucket.
        """

    def found(self, key: str) -> StoredObject | None:
        """Describe one object; None where there is none."""

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read the bytes from `start` up to `end`, which lies after it and within the object.

        Raises
        ------
        SourceChangedError
            The object is gone or has another mark.
        """

    def begin_upload(self, key: str, *, overwrite: bool) -> Upload:
        """Begin to write an object.

        Raises
        ------
        DestinationExistsError
            There is one already, it is not to be overwritten, and the store says so now rather than at the end.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is none too many."""


_opened: dict[tuple[str, str, StorageOptions], ObjectStore] = {}
_opening = threading.Lock()


def open_store(uri: CloudUri, options: StorageOptions) -> ObjectStore:
    """Open the bucket of a URI; the same one for all who ask with the same options.

    Raises
    ------
    UsageError
        The options do not fit the provider, or what it needs is not installed.
    StorageError
        There are no credentials.
    """
    with _opening:
        known = (uri.scheme, uri.bucket, options)
        if known not in _opened:
            try:
                _opened[known] = _new_store(uri, options)
            except ModuleNotFoundError as error:
                raise UsageError(f"{uri.scheme}:// needs {error.name}, which is not installed; {_INSTALL}") from error
        return _opened[known]


def forget_stores() -> None:
    """Open buckets anew from now on, by what the environment says then."""
    with _opening:
        _opened.clear()


def _new_store(uri: CloudUri, options: StorageOptions) -> ObjectStore:
    if uri.scheme == "s3":
        from pycytominer_transform.common.s3_store import S3Store

        return S3Store(uri.bucket, options)
    if uri.scheme == "gs":
        from pycytominer_transform.common.gcs_store import GcsStore

        return GcsStore(uri.bucket, options)
    from pycytominer_transform.common.azure_store import AzureStore

    return AzureStore(uri.bucket, options)
