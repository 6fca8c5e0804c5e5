"""Containers of Azure Blob Storage.

Azure's own client lists, describes, writes and says what went wrong; obstore reads, at a fraction of the time that the
client takes for a small object. What obstore cannot read the client is asked for again, whose errors have codes
(https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes).
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycytominer_transform.common.azure_account import LOG_IN, service_client
from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PassingStorageError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    StorageError,
)
from pycytominer_transform.common.object_store import NoSuchObjectError, ObjectChangedError, StoredObject
from pycytominer_transform.common.retrying import asked_again, retried
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import obstore.store

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_PAGE = 5000
_PASSING = frozenset("ServerBusy InternalError OperationTimedOut ContainerBeingDeleted".split())
_REFUSED = frozenset("AuthenticationFailed InvalidAuthenticationInfo".split())
_MISSING = frozenset("NoAuthenticationInformation PublicAccessNotPermitted".split())


class AzureStore:
    """A container of Azure; see `object_store.ObjectStore`."""

    part_bytes = 16 << 20
    parts_at_once = 4

    def __init__(self, container: str, options: StorageOptions) -> None:
        self.name = f"az://{container}"
        self._service = service_client(self.name, options, _CONNECT_SECONDS, _READ_SECONDS)
        self.client = self._service.get_container_client(container)

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """List all objects whose names begin with a prefix."""
        following: str | None = None
        while True:
            page, following = retried(partial(self._page, prefix, following))
            yield from page
            if not following:
                return

    def _page(self, prefix: str, following: str | None) -> tuple[list[StoredObject], str | None]:
        with self.faults(f"list {self.name}/{prefix}"):
            found = self.client.list_blobs(name_starts_with=prefix or None, results_per_page=_PAGE)
            pages: Any = found.by_page(following)
            page = [StoredObject(blob.name, blob.size, blob.etag.strip('"')) for blob in next(pages, ())]
        return page, pages.continuation_token

    def found(self, key: str) -> StoredObject | None:
        """Describe one object; None where there is none."""
        try:
            with self.faults(f"read {self.name}/{key}"):
                blob = self.client.get_blob_client(key).get_blob_properties()
        except NoSuchObjectError:
            return None
        # Where folders are real, they have names of their own and no content.
        is_folder = (blob.metadata or {}).get("hdi_isfolder") == "true"
        return None if is_folder else StoredObject(key, blob.size, blob.etag.strip('"'))

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read some bytes of an object."""
        import obstore
        from obstore.exceptions import BaseError

        condition = f'"{stored.mark}"'
        try:
            options: Any = {"range": (start, end), "if_match": condition}
            result = obstore.get(self._reader, stored.key, options=options)
            content = bytes(result.bytes())
            if len(content) == end - start and result.meta.get("e_tag") == condition:
                return content
        except (BaseError, OSError, ValueError) as error:
            # Azure's client says what it is, or reads it.
            asked_again(f"read {self.name}/{stored.key}", error)
        return self._read_by_client(stored, start, end)

    def _read_by_client(self, stored: StoredObject, start: int, end: int) -> bytes:
        from azure.core import MatchConditions

        where = f"{self.name}/{stored.key}"
        try:
            with self.faults(f"read {where}"):
                content = bytes(
                    self.client.get_blob_client(stored.key)
                    .download_blob(
                        start, end - start, etag=f'"{stored.mark}"', match_condition=MatchConditions.IfNotModified,
                        max_concurrency=1, decompress=False,
                    ).readall()
                )  # fmt: skip
        except (NoSuchObjectError, ObjectChangedError):
            raise SourceChangedError(
                f"{where}: is gone or has changed since it was listed; run pct-discover again"
            ) from None
        if len(content) != end - start:
            raise PassingStorageError(f"cannot read {where}: the answer was cut off")
        return content

    def begin_upload(self, key: str, *, overwrite: bool) -> AzureUpload:
        """Begin to write an object."""
        return AzureUpload(self, key, overwrite=overwrite)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for key in keys:
            try:
                with self.faults(f"delete {self.name}/{key}"):
                    self.client.get_blob_client(key).delete_blob(delete_snapshots="include")
            except NoSuchObjectError:
                continue

    @cached_property
    def _reader(self) -> obstore.store.AzureStore:
        from datetime import timedelta

        from obstore.store import AzureStore as Reader

        address = urlsplit(self._service.url)
        endpoint = address._replace(query="").geturl()
        credential = self._service.credential
        given: dict[str, Any] = {"skip_signature": True}
        if hasattr(credential, "account_key"):
            given = {"credential_provider": lambda: {"access_key": credential.account_key, "expires_at": None}}
        elif hasattr(credential, "get_token"):
            given = {"credential_provider": partial(_token, credential)}
        elif address.query:
            given = {"credential_provider": lambda: {"sas_token": address.query, "expires_at": None}}
        return Reader(
            self.client.container_name,
            account_name=getattr(credential, "account_name", None) or self._service.account_name or "unknown",
            endpoint=endpoint.rstrip("/"),
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=_READ_SECONDS),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": 0},
            **given,
        )

    @contextmanager
    def faults(self, doing: str) -> Iterator[None]:
        """Give the errors of Azure's client the form of ours, by their classes and codes; they may hold signatures."""
        from azure.core import exceptions

        try:
            yield
        except (exceptions.ServiceRequestError, exceptions.ServiceResponseError) as error:
            raise PassingStorageError(f"cannot {doing}: {_short(error)}") from None
        except exceptions.HttpResponseError as error:
            raise self._described(error, doing) from None
        except exceptions.AzureError as error:
            raise StorageError(f"cannot {doing}: {type(error).__name__}") from None
        except OSError as error:
            if isinstance(error, PctError):
                raise
            raise PassingStorageError(f"cannot {doing}: the connection failed ({type(error).__name__})") from None

    def _described(self, error: Any, doing: str) -> PctError:
        """Make our error of an answer that is one, or of one that never came."""
        if error.response is None:
            if type(error).__name__ in ("ClientAuthenticationError", "CredentialUnavailableError"):
                return StorageError(f"cannot {doing}: the credentials cannot be had; log in again, or {LOG_IN}")
            return PassingStorageError(f"cannot {doing}: the connection was lost")
        code = getattr(error, "error_code", None) or error.response.headers.get("x-ms-error-code")
        status = int(error.status_code or 0)
        return self._refused(str(getattr(code, "value", code) or status), status, doing)

    def _refused(self, code: str, status: int, doing: str) -> PctError:
        if code == "ContainerNotFound":
            return SourceNotFoundError(f"cannot {doing}: there is no container {self.client.container_name}")
        if code in _REFUSED:
            return StorageError(f"cannot {doing}: the credentials are not accepted or have expired ({code})")
        if code in _MISSING or status == 401:
            return StorageError(f"cannot {doing}: there are no credentials ({code}); {LOG_IN}")
        if code in _PASSING or status in (408, 429) or status >= 500:
            return PassingStorageError(f"cannot {doing}: the server is busy or out of order ({code})")
        if status == 404:
            return NoSuchObjectError(f"cannot {doing}: it is gone, or never was there")
        if status in (304, 409, 412, 416):
            return ObjectChangedError(f"cannot {doing}: it has changed meanwhile")
        if 200 <= status < 300:
            return PassingStorageError(f"cannot {doing}: the answer was cut off")
        what = "no permission" if status == 403 else "the server says"
        return StorageError(f"cannot {doing}: {what} ({code}); for a public container give --no-sign-request")


def _token(credential: Any) -> dict[str, Any]:
    from datetime import UTC, datetime

    token = credential.get_token("https://storage.azure.com/.default")
    return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}


def _short(error: Exception) -> str:
    """Say what kind of fault a connection had; the whole message may name a signed address."""
    words = {
        "ServiceRequestTimeoutError": "no connection in time",
        "ServiceResponseTimeoutError": "no answer in time",
        "IncompleteReadError": "the answer was cut off",
        "ServiceRequestError": "no connection to the server",
    }
    return words.get(type(error).__name__, "the connection was lost")


class AzureUpload:
    """Blocks of an object, and then the list of them that makes it one; see `object_store.Upload`.

    Azure has no way to take blocks back: those that no list names are never to be seen and go away by themselves, with
    the next list for the same name or after a week.
    """

    def __init__(self, store: AzureStore, key: str, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._overwrite = overwrite
        self._doing = f"write {store.name}/{key}"
        self._blob = store.client.get_blob_client(key)
        # Others may be writing blocks for the same name.
        self._own = uuid.uuid4().hex
        self._blocks: dict[int, str] = {}

    def put_part(self, number: int, content: bytes) -> None:
        """Send a part."""
        block = base64.b64encode(f"{self._own}{number:06}".encode()).decode()
        with self._store.faults(self._doing):
            self._blob.stage_block(block, content, len(content))
        self._blocks[number] = block

    def complete(self) -> None:
        """Make the object of the parts that were sent."""
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock

        condition: dict[str, Any] = {} if self._overwrite else {"match_condition": MatchConditions.IfMissing}
        blocks = [BlobBlock(block) for _, block in sorted(self._blocks.items())]
        try:
            with self._store.faults(self._doing):
                self._blob.commit_block_list(blocks, **condition)
        except ObjectChangedError:
            if not self._is_done():
                raise DestinationExistsError(
                    f"{self._store.name}/{self._key} came to exist meanwhile; give --overwrite to replace it"
                ) from None

    def _is_done(self) -> bool:
        """Say whether the object is the one that was to be made, and only the answer to an earlier call was lost."""
        with self._store.faults(self._doing):
            made, _ = self._blob.get_block_list("committed")
        return bool(made) and [block.id for block in made] == [block for _, block in sorted(self._blocks.items())]

    def abort(self) -> None:
        """Leave what was sent unlisted; Azure deletes it."""
