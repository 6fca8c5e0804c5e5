"""Buckets of Google Cloud Storage.

cloudpathlib finds the credentials; Google's client lists, describes, writes and says what went wrong; gcsfs reads, at a
third of the time that the client takes for a small object. What gcsfs cannot read the client is asked for again. The
mark of an object is its generation, of which there is never another
(https://cloud.google.com/storage/docs/metadata#generation-number).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

from pycytominer_transform.common.cloud_clients import client_arguments, client_class, refuse_options
from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PassingStorageError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    StorageError,
    UsageError,
)
from pycytominer_transform.common.object_store import NoSuchObjectError, ObjectChangedError, StoredObject
from pycytominer_transform.common.retrying import asked_again, retried
from pycytominer_transform.common.storage_options import StorageOptions

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_UPLOAD_SECONDS = 120
_LISTED = "items(name,size,generation),nextPageToken"
_LOG_IN = (
    "log in with gcloud auth application-default login, or name a key file in GOOGLE_APPLICATION_CREDENTIALS; give "
    "--no-sign-request for a public bucket"
)


class GcsStore:
    """A bucket of Google Cloud Storage; see `object_store.ObjectStore`."""

    part_bytes = 16 << 20
    parts_at_once = 1

    def __init__(self, bucket: str, options: StorageOptions) -> None:
        from google.auth.exceptions import GoogleAuthError

        self.name = f"gs://{bucket}"
        refuse_options("Google Cloud Storage", profile=options.profile)
        # Without these, a machine that is not Google's waits for its metadata server, and gcsfs for a bucket's kind.
        os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
        os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        # What it says of a machine that is not Google's is no news to anybody.
        logging.getLogger("google.auth._default").setLevel(logging.ERROR)
        kind = client_class("GSClient")
        arguments = client_arguments(kind, options, {})
        try:
            if options.no_sign_request:
                arguments = {"storage_client": _anonymous_client()}
            self.client = kind(**arguments).client
        except (GoogleAuthError, OSError, ValueError) as error:
            raise UsageError(
                f"{self.name}: the credentials cannot be used ({type(error).__name__}); {_LOG_IN}"
            ) from None
        if options.endpoint_url:
            self.client = self._at(options.endpoint_url)
        self._endpoint = options.endpoint_url
        self._bucket = self.client.bucket(bucket)
        self._times = {"timeout": (_CONNECT_SECONDS, _READ_SECONDS), "retry": None}

    def _at(self, endpoint_url: str) -> Any:
        from google.cloud.storage import Client

        project = self.client.project or "none"
        return Client(project, self.client._credentials, client_options={"api_endpoint": endpoint_url})

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """List all objects whose names begin with a prefix."""
        token: str | None = None
        while True:
            page, token = retried(partial(self._page, prefix, token))
            yield from page
            if not token:
                return

    def _page(self, prefix: str, token: str | None) -> tuple[list[StoredObject], str | None]:
        try:
            with self.faults(f"list {self.name}/{prefix}"):
                found = self.client.list_blobs(
                    self._bucket, prefix=prefix, fields=_LISTED, page_size=1000, page_token=token, **self._times
                )
                page = [StoredObject(blob.name, blob.size, str(blob.generation)) for blob in next(found.pages, ())]
        except NoSuchObjectError:
            raise SourceNotFoundError(
                f"cannot list {self.name}/{prefix}: there is no bucket {self._bucket.name}"
            ) from None
        return page, found.next_page_token

    def found(self, key: str) -> StoredObject | None:
        """Describe one object; None where there is none."""
        try:
            with self.faults(f"read {self.name}/{key}"):
                blob = self._bucket.blob(key)
                blob.reload(**self._times)
        except NoSuchObjectError:
            return None
        return StoredObject(key, blob.size, str(blob.generation))

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read some bytes of an object."""
        where = f"{self.name}/{stored.key}"
        try:
            place = f"{self._bucket.name}/{stored.key}#{stored.mark}"
            content = bytes(self._reader.cat_file(place, start, end))
            if len(content) == end - start:
                return content
        except Exception as error:  # gcsfs has no class for what may go wrong; the client has, or reads it.
            asked_again(f"read {where}", error)
        try:
            with self.faults(f"read {where}"):
                blob = self._bucket.blob(stored.key, generation=int(stored.mark))
                content = blob.download_as_bytes(start=start, end=end - 1, raw_download=True, **self._times)
        except (NoSuchObjectError, ObjectChangedError, ValueError):
            raise SourceChangedError(
                f"{where}: is gone or has changed since it was listed; run pct-discover again"
            ) from None
        if len(content) != end - start:
            raise PassingStorageError(f"cannot read {where}: the answer was cut off")
        return bytes(content)

    def begin_upload(self, key: str, *, overwrite: bool) -> GcsUpload:
        """Begin to write an object."""
        return GcsUpload(self, key, overwrite=overwrite)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for key in keys:
            try:
                with self.faults(f"delete {self.name}/{key}"):
                    self._bucket.blob(key).delete(**self._times)
            except NoSuchObjectError:
                continue

    def blob(self, key: str) -> Any:
        """Give the client's object of a name."""
        return self._bucket.blob(key)

    @cached_property
    def _reader(self) -> Any:
        from gcsfs import GCSFileSystem
        from google.auth.credentials import AnonymousCredentials

        class Once(GCSFileSystem):  # type: ignore[misc]
            """Asks once; trying again is `retrying`'s, the same for all providers."""

            _request = GCSFileSystem._request.__wrapped__

        credentials = self.client._credentials
        return Once(
            token="anon" if isinstance(credentials, AnonymousCredentials) else credentials,
            project=self.client.project or "none",
            endpoint_url=self._endpoint or os.environ.get("STORAGE_EMULATOR_HOST") or None,
            requests_timeout=_READ_SECONDS,
            version_aware=True,
            skip_instance_cache=True,
        )

    @contextmanager
    def faults(self, doing: str) -> Iterator[None]:
        """Give the errors of Google's libraries the form of ours, by their classes and codes."""
        import requests.exceptions
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth import exceptions as auth
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        try:
            yield
        except GoogleAPICallError as error:
            raise self._described(int(error.code or 0), doing) from None
        except InvalidResponse as error:
            raise self._described(int(error.response.status_code), doing) from None
        except auth.TransportError:
            raise PassingStorageError(f"cannot {doing}: no connection to the server that gives credentials") from None
        except auth.GoogleAuthError:
            raise StorageError(f"cannot {doing}: the credentials are not accepted or have expired; {_LOG_IN}") from None
        except (
            requests.exceptions.RequestException,
            DataCorruption,
            RetryError,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise PassingStorageError(f"cannot {doing}: {_short(error)}") from None
        except OSError as error:
            if isinstance(error, PctError):
                raise
            raise PassingStorageError(f"cannot {doing}: the connection failed ({type(error).__name__})") from None

    def _described(self, code: int, doing: str) -> PctError:
        if code == 404:
            return NoSuchObjectError(f"cannot {doing}: it is gone, or never was there")
        if code in (409, 412):
            return ObjectChangedError(f"cannot {doing}: it has changed meanwhile")
        if code in (408, 429) or code >= 500:
            return PassingStorageError(f"cannot {doing}: the server is busy or out of order ({code})")
        if code == 401:
            return StorageError(f"cannot {doing}: there are no credentials, or they have expired; {_LOG_IN}")
        if code == 403:
            return StorageError(f"cannot {doing}: no permission (403); {_LOG_IN}")
        return StorageError(f"cannot {doing}: the server says {code}")


class GcsUpload:
    """A resumable upload; see `object_store.Upload`. Google tries its parts again where one was cut off."""

    def __init__(self, store: GcsStore, key: str, *, overwrite: bool) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._store = store
        self._key = key
        self._overwrite = overwrite
        self._doing = f"write {store.name}/{key}"
        condition = {} if overwrite else {"if_generation_match": 0}
        self._writer = store.blob(key).open(
            "wb",
            chunk_size=store.part_bytes,
            retry=DEFAULT_RETRY.with_timeout(_UPLOAD_SECONDS),
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            content_type="application/octet-stream",
            **condition,
        )

    def put_part(self, number: int, content: bytes) -> None:
        """Send a part."""
        with self._lasting_faults():
            self._writer.write(content)

    def complete(self) -> None:
        """Make the object of the parts that were sent."""
        if not self._overwrite and self._store.found(self._key) is not None:
            raise self._exists()
        with self._lasting_faults():
            self._writer.close()

    def abort(self) -> None:
        """Take back all that was sent."""
        with self._store.faults(self._doing):
            self._writer.terminate()

    @contextmanager
    def _lasting_faults(self) -> Iterator[None]:
        """Nothing may be sent twice: what Google's own attempts did not mend stays."""
        try:
            with self._store.faults(self._doing):
                yield
        except ObjectChangedError:
            raise self._exists() from None
        except PassingStorageError as error:
            raise StorageError(str(error)) from None

    def _exists(self) -> DestinationExistsError:
        return DestinationExistsError(
            f"{self._store.name}/{self._key} came to exist meanwhile; give --overwrite to replace it"
        )


def _anonymous_client() -> Any:
    from google.cloud.storage import Client

    return Client.create_anonymous_client()


def _short(error: Exception) -> str:
    """Say what kind of fault a connection had; the whole message would name the URL."""
    words = {
        "ReadTimeout": "no answer in time",
        "ConnectTimeout": "no connection in time",
        "ChunkedEncodingError": "the connection was lost",
        "DataCorruption": "the answer was damaged on its way",
        "SSLError": "the server's certificate is not accepted",
    }
    return words.get(type(error).__name__, "no connection to the server, or it was lost")
