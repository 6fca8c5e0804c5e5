"""Writing objects of S3 by multipart uploads (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html)."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import DestinationExistsError, PassingStorageError, PctError, StorageError
from pycytominer_transform.common.object_store import ObjectChangedError
from pycytominer_transform.common.reporting import size
from pycytominer_transform.common.retrying import retried

if TYPE_CHECKING:
    from pycytominer_transform.common.s3_store import S3Store

_MOST_PARTS = 10_000
_UPLOAD_MARK = "pct-upload"


class NoSuchUploadError(StorageError):
    """An upload was completed or aborted before."""


class S3Upload:
    """A multipart upload; see `object_store.Upload`."""

    def __init__(self, store: S3Store, key: str, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._doing = f"write {store.name}/{key}"
        self._condition = {} if overwrite else {"IfNoneMatch": "*"}
        self._tags: dict[int, str] = {}
        self._mark = secrets.token_hex(8)
        self._may_be_complete = False
        since = time.monotonic()
        try:
            with store.faults(self._doing):
                begun = store.client.create_multipart_upload(
                    Bucket=store.bucket, Key=key, Metadata={_UPLOAD_MARK: self._mark}
                )
        except PassingStorageError:
            with suppress(PctError):
                self._abort_unheard(since)
            raise
        self._id = begun["UploadId"]

    def _abort_unheard(self, since: float) -> None:
        """Abort what was begun although no answer came: uploads of the object that are as young as the request."""
        answer = retried(self._open_uploads)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        # The store's clock has whole seconds.
        begin = now - timedelta(seconds=time.monotonic() - since + 1)
        for upload in answer.get("Uploads", ()):
            if upload["Key"] == self._key and upload["Initiated"] >= begin:
                self._id = upload["UploadId"]
                retried(self.abort)

    def _open_uploads(self) -> dict[str, Any]:
        with self._store.faults(self._doing):
            return dict(self._store.client.list_multipart_uploads(Bucket=self._store.bucket, Prefix=self._key))

    def put_part(self, number: int, content: bytes) -> None:
        """Send a part."""
        if number > _MOST_PARTS:
            most = size(_MOST_PARTS * self._store.part_bytes)
            raise StorageError(f"cannot {self._doing}: an object may have {most}; write a folder of one file per part")
        with self._store.faults(self._doing):
            answer = self._store.client.upload_part(**self._named, PartNumber=number, Body=content)
        self._tags[number] = answer["ETag"]

    def complete(self) -> None:
        """Make the object of the parts that were sent."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(self._tags.items())]
        try:
            with self._store.faults(self._doing):
                self._store.client.complete_multipart_upload(
                    **self._named, MultipartUpload={"Parts": parts}, **self._condition
                )
        except PassingStorageError:
            # It may have been done, and the answer lost.
            self._may_be_complete = True
            raise
        except (ObjectChangedError, NoSuchUploadError) as error:
            if self._may_be_complete and self._is_complete():
                return
            if isinstance(error, NoSuchUploadError):
                raise
            raise DestinationExistsError(
                f"{self._store.name}/{self._key} came to exist meanwhile; give --overwrite to replace it"
            ) from None

    def _is_complete(self) -> bool:
        with self._store.faults(self._doing):
            head = self._store.client.head_object(Bucket=self._store.bucket, Key=self._key)
        return bool(head["Metadata"].get(_UPLOAD_MARK) == self._mark)

    def abort(self) -> None:
        """Take back all that was sent."""
        with suppress(NoSuchUploadError), self._store.faults(self._doing):
            self._store.client.abort_multipart_upload(**self._named)

    @property
    def _named(self) -> dict[str, str]:
        return {"Bucket": self._store.bucket, "Key": self._key, "UploadId": self._id}
