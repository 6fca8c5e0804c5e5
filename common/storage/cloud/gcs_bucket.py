"""Buckets of Google Cloud Storage through gcsfs, which retries transient errors itself.

The mark of an object is its generation, which no other version ever has
(https://cloud.google.com/storage/docs/metadata#generation-number).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pycytominer_transform.common.errors import (
    PctError,
    SourceNotFoundError,
    StorageError,
    TransientStorageError,
    UsageError,
)
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.storage.cloud import object_store
from pycytominer_transform.common.storage.cloud.object_store import (
    PART_BYTES,
    NoSuchObjectError,
    ObjectChangedError,
    StoredObject,
    changed_error,
)
from pycytominer_transform.common.storage.cloud.request_retries import RetriesEndedError
from pycytominer_transform.common.storage.options import StorageOptions

_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_LOG_IN = (
    "log in with gcloud auth application-default login, or name a key file in GOOGLE_APPLICATION_CREDENTIALS; give "
    "--no-sign-request for a public bucket"
)


class GcsBucket:
    """A bucket of Google Cloud Storage; see `object_store.ObjectStore`."""

    def __init__(self, bucket: str, options: StorageOptions) -> None:
        from aiohttp import ClientTimeout

        # The class that the package exports asks for the kind of each bucket first.
        from gcsfs.core import GCSFileSystem
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        self.name = f"gs://{bucket}"
        self._bucket = bucket
        if options.profile:
            raise UsageError("--profile means nothing to Google Cloud Storage")
        _report_retries()
        try:
            credentials, project = _credentials_and_project(options)
        except (GoogleAuthError, OSError, ValueError) as error:
            raise UsageError(
                f"{self.name}: the credentials cannot be used ({type(error).__name__}); {_LOG_IN}"
            ) from None
        if credentials is not None:
            # gcsfs would retry credentials that are refused for half a minute.
            with _gcs_errors(f"reach {self.name}"):
                credentials.refresh(Request())
        # Objects with Content-Encoding are read as they are stored.
        session = {"auto_decompress": False, "headers": {"Accept-Encoding": "gzip"}}
        timeout = ClientTimeout(sock_connect=object_store.CONNECT_SECONDS, sock_read=object_store.READ_SECONDS)
        self._files = GCSFileSystem(
            project=project or "none", token=credentials or "anon", endpoint_url=options.endpoint_url or None,
            requests_timeout=timeout, session_kwargs=session, use_listings_cache=False, skip_instance_cache=True,
        )  # fmt: skip

    def list_below(self, prefix: str) -> list[StoredObject]:
        """List all objects below a prefix that ends in a slash."""
        try:
            with _gcs_errors(f"list {self.name}/{prefix}"):
                entries = self._files.find(f"{self._bucket}/{prefix}", detail=True).values()
        except NoSuchObjectError:
            raise SourceNotFoundError(f"cannot list {self.name}/{prefix}: there is no bucket {self._bucket}") from None
        return [self._described(entry) for entry in entries if not entry["name"].endswith("/")]

    def find(self, key: str) -> StoredObject | None:
        """Describe one object; None if it does not exist."""
        try:
            with _gcs_errors(f"read {self.name}/{key}"):
                entry = self._files.info(f"{self._bucket}/{key}")
        except NoSuchObjectError:
            return None
        return self._described(entry) if entry["type"] == "file" else None

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read some bytes of an object."""
        where = f"{self.name}/{stored.key}"
        if not stored.mark.isdecimal():
            raise changed_error(where)
        try:
            with _gcs_errors(f"read {where}"):
                # Not cat_file, which cuts names at '?' and '#'.
                _, content = self._files.call(
                    "GET", "b/{}/o/{}", self._bucket, stored.key, alt="media", generation=stored.mark,
                    headers={"Range": f"bytes={start}-{end - 1}"},
                )  # fmt: skip
        except (NoSuchObjectError, ObjectChangedError):
            raise changed_error(where) from None
        if len(content) != end - start:
            raise TransientStorageError(f"cannot read {where}: the answer was cut off")
        return bytes(content)

    def put(self, key: str, content: bytes, *, overwrite: bool) -> None:
        """Write an object in one request."""
        with _gcs_errors(f"write {self.name}/{key}"):
            self._files.pipe_file(f"{self._bucket}/{key}", content, mode="overwrite" if overwrite else "create")

    def upload(self, key: str, pieces: Iterator[bytes], *, overwrite: bool) -> None:
        """Write an object in parts."""
        with _gcs_errors(f"write {self.name}/{key}"):
            writer = self._files.open(
                f"{self._bucket}/{key}", "wb" if overwrite else "xb", block_size=PART_BYTES, autocommit=False,
                content_type="application/octet-stream",
            )  # fmt: skip
            try:
                for piece in pieces:
                    writer.write(piece)
                writer.close()
                writer.commit()
            except BaseException:
                if not writer.closed and not writer.tell():
                    # Nothing was sent yet; this begins the upload, which shows whether one may write.
                    writer.flush(force=True)
                with suppress(FileNotFoundError):
                    writer.discard()
                raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for key in keys:
            try:
                with _gcs_errors(f"delete {self.name}/{key}"):
                    self._files.rm_file(f"{self._bucket}/{key}")
            except NoSuchObjectError:
                continue

    def _described(self, entry: Any) -> StoredObject:
        return StoredObject(entry["name"].removeprefix(f"{self._bucket}/"), entry["size"], str(entry["generation"]))


def _credentials_and_project(options: StorageOptions) -> tuple[Any, str | None]:
    """Return the credentials (None if there are none) and the project, found as cloudpathlib's client finds them."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    given = options.arguments("gs")
    if options.no_sign_request:
        return None, given.get("project")
    # Without these, a machine that is not Google's waits for Google's metadata server.
    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
    logging.getLogger("google.auth._default").setLevel(logging.ERROR)
    try:
        if key_file := given.get("application_credentials"):
            credentials, project = google.auth.load_credentials_from_file(key_file, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
        else:
            credentials, project = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError:
        if given.get("application_credentials") or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            raise
        return None, given.get("project")
    return credentials, given.get("project") or project


class _RetryMessages(logging.Handler):
    """Logs the retries of gcsfs without its text, which has URLs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one line for a retry; drop all else."""
        if "retrying after" in record.getMessage():
            logger.debug("Google Cloud Storage: a request failed; trying again")


def _report_retries() -> None:
    log = logging.getLogger("gcsfs")
    if not log.handlers:
        log.addHandler(_RetryMessages())
        log.setLevel(logging.DEBUG)
        log.propagate = False


@contextmanager
def _gcs_errors(doing: str) -> Iterator[None]:
    """Raise the errors of gcsfs as ours; their own texts have URLs."""
    try:
        yield
    except PctError:
        raise
    except Exception as error:  # Most errors of gcsfs have no class of their own.
        raise _described(error, doing) from None


def _described(error: Exception, doing: str) -> PctError:
    """Return the error of ours for one of gcsfs, by its class and code."""
    from aiohttp import ClientError
    from google.auth import exceptions as auth
    from requests.exceptions import RequestException

    code = int(getattr(error, "code", None) or 0)
    if isinstance(error, FileNotFoundError):
        return NoSuchObjectError(f"cannot {doing}: it does not exist")
    if isinstance(error, FileExistsError) or code in (304, 409, 416):
        return ObjectChangedError(f"cannot {doing}: it has changed")
    if isinstance(error, auth.TransportError):
        return TransientStorageError(f"cannot {doing}: no connection to the server that gives credentials")
    if isinstance(error, auth.GoogleAuthError) or code == 401:
        return StorageError(f"cannot {doing}: there are no credentials, or they are not accepted or expired; {_LOG_IN}")
    if isinstance(error, (ClientError, RequestException)):
        return RetriesEndedError(f"cannot {doing}: no connection to the server, or it was lost (tried 6 times)")
    if code in (408, 429) or code >= 500:
        return RetriesEndedError(f"cannot {doing}: the server is busy or out of order ({code}; tried 6 times)")
    if type(error) is OSError and not error.errno:  # How gcsfs raises a 403.
        return StorageError(f"cannot {doing}: no permission (403); {_LOG_IN}")
    if isinstance(error, OSError):
        return TransientStorageError(f"cannot {doing}: no connection to the server, or it was lost")
    return StorageError(f"cannot {doing}: the server refused the request" + (f" ({code})" if code else ""))
