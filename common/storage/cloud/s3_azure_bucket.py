"""Buckets of S3 and of compatible servers, and containers of Azure, through obstore.

obstore has classes for few errors. The others differ only in the HTTP status and the provider's code, which stand in
the error's text. An error with an unexpected text counts as transient.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import obstore
from obstore import exceptions
from pycytominer_transform.common.errors import PctError, SourceNotFoundError, StorageError, TransientStorageError
from pycytominer_transform.common.storage.cloud import credentials
from pycytominer_transform.common.storage.cloud.object_store import (
    PART_BYTES,
    NoSuchObjectError,
    ObjectChangedError,
    StoredObject,
    changed_error,
)
from pycytominer_transform.common.storage.cloud.request_retries import ATTEMPTS
from pycytominer_transform.common.storage.options import StorageOptions

_PARTS_AT_ONCE = 4
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_TRANSIENT = (
    "InternalError ServiceUnavailable SlowDown Throttling ThrottlingException RequestTimeout RequestTimeoutException "
    "RequestLimitExceeded OperationAborted ServerBusy OperationTimedOut ContainerBeingDeleted".split()
)
_REFUSALS = {
    "the credentials have expired; log in again": "ExpiredToken RequestExpired TokenRefreshRequired",
    "the credentials are not accepted or have expired": (
        "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken AuthFailure AuthenticationFailed "
        "InvalidAuthenticationInfo"
    ),
    "there are no credentials": "NoAuthenticationInformation PublicAccessNotPermitted 401",
}
"""By the words of the message, the codes that it stands for."""

_CHANGED = (exceptions.AlreadyExistsError, exceptions.PreconditionError, exceptions.NotModifiedError)


class ObstoreBucket:
    """A bucket of S3 or a container of Azure; see `object_store.ObjectStore`."""

    def __init__(self, scheme: str, bucket: str, options: StorageOptions) -> None:
        self.name = f"{scheme}://{bucket}"
        access = (credentials.s3_access if scheme == "s3" else credentials.azure_access)(bucket, options)
        self._log_in = access.log_in
        # Single requests are retried here, with a log line. Only obstore can retry the parts of an upload.
        self._store = access.open(max_retries=0)
        self._uploading = access.open(max_retries=ATTEMPTS - 1)

    def list_below(self, prefix: str) -> list[StoredObject]:
        """List all objects below a prefix that ends in a slash."""
        with self._errors(f"list {self.name}/{prefix}"):
            pages = obstore.list(self._store, prefix or None, chunk_size=1000)
            entries = [(entry["path"], entry["size"], entry["e_tag"] or "") for page in pages for entry in page]
        keys = [key for key, size, _ in entries if size]
        if len(set(keys)) < len(keys):
            raise _odd_names_error(f"list {self.name}/{prefix}")
        objects = []
        for key, size, mark in entries:
            # obstore lists empty objects that stand for folders without the slash at the end of their names.
            if size or (not any(other.startswith(f"{key}/") for other, _, _ in entries) and self.find(key)):
                objects.append(StoredObject(key, size, mark.strip('"')))
        return objects

    def find(self, key: str) -> StoredObject | None:
        """Describe one object; None if it does not exist."""
        try:
            with self._errors(f"read {self.name}/{key}"):
                meta = obstore.head(self._store, key)
        except NoSuchObjectError:
            return None
        return StoredObject(key, meta["size"], (meta["e_tag"] or "").strip('"'))

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read some bytes of an object."""
        where = f"{self.name}/{stored.key}"
        condition = f'"{stored.mark}"'
        try:
            with self._errors(f"read {where}"):
                answer = obstore.get(self._store, stored.key, options={"range": (start, end), "if_match": condition})
                content = bytes(answer.bytes())
        except (NoSuchObjectError, ObjectChangedError):
            raise changed_error(where) from None
        if (answer.meta["e_tag"] or condition) != condition:
            raise changed_error(where)
        if len(content) != end - start:
            raise TransientStorageError(f"cannot read {where}: the answer was cut off")
        return content

    def put(self, key: str, content: bytes, *, overwrite: bool) -> None:
        """Write an object in one request."""
        with self._errors(f"write {self.name}/{key}"):
            obstore.put(self._store, key, content, mode="overwrite" if overwrite else "create", use_multipart=False)

    def upload(self, key: str, pieces: Iterator[bytes], *, overwrite: bool) -> None:
        """Write an object in parts; obstore cannot make the last request depend on whether the object exists."""
        with self._errors(f"write {self.name}/{key}"):
            obstore.put(
                self._uploading, key, pieces, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        with self._errors(f"delete objects in {self.name}"), suppress(FileNotFoundError):
            obstore.delete(self._store, list(keys))

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Raise obstore's errors as ours; their own texts may hold credentials and are not repeated."""
        try:
            yield
        except (exceptions.BaseError, OSError, ValueError) as error:
            if isinstance(error, PctError):
                raise
            raise _described(error, doing, self._log_in) from None


def _odd_names_error(doing: str) -> StorageError:
    return StorageError(
        f"cannot {doing}: some objects' names have empty parts, '.' or '..' between slashes; rename them, or name a "
        "deeper prefix"
    )


def _described(error: BaseException, doing: str, log_in: str) -> PctError:
    """Return the error of ours for one of obstore."""
    text = str(error)
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    code = match[1] if (match := _CODE.search(text)) else str(status)
    if code in _NO_BUCKET:
        return SourceNotFoundError(f"cannot {doing}: there is no such bucket ({code})")
    if code in _TRANSIENT or status in (408, 429) or status >= 500:
        return TransientStorageError(f"cannot {doing}: the server is busy or out of order ({code})")
    if isinstance(error, _CHANGED) or status in (304, 409, 412, 416):
        return ObjectChangedError(f"cannot {doing}: it has changed")
    if isinstance(error, FileNotFoundError) or status == 404:
        return NoSuchObjectError(f"cannot {doing}: it does not exist")
    if isinstance(error, exceptions.InvalidPathError):
        return _odd_names_error(doing)
    if isinstance(error, exceptions.UnauthenticatedError):
        status = status or 401
    if status or isinstance(error, exceptions.PermissionDeniedError):
        refusal = next((text for text, codes in _REFUSALS.items() if {code, str(status)} & {*codes.split()}), "")
        if refusal:
            return StorageError(f"cannot {doing}: {refusal} ({code}); {log_in}")
        if status in (0, 403):
            return StorageError(f"cannot {doing}: no permission ({code}); for a public bucket give --no-sign-request")
        return StorageError(f"cannot {doing}: the server says {code}")
    return TransientStorageError(f"cannot {doing}: no connection to the server, or it was lost")
