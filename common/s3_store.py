"""Buckets of S3, and of servers that speak as it does.

boto3 lists, describes, writes and says what went wrong; obstore reads, at a fifth of the time that boto3 takes for a
small object. What obstore cannot read boto3 is asked for again, whose errors have codes
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycytominer_transform.common.cloud_clients import client_arguments, client_class
from pycytominer_transform.common.errors import (
    PassingStorageError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    StorageError,
    UsageError,
)
from pycytominer_transform.common.object_store import NoSuchObjectError, ObjectChangedError, StoredObject
from pycytominer_transform.common.retrying import retried
from pycytominer_transform.common.s3_upload import NoSuchUploadError, S3Upload
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    import obstore.store

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_CONNECTIONS = 64
_PASSING = frozenset(
    "InternalError ServiceUnavailable SlowDown Throttling ThrottlingException RequestTimeout RequestTimeoutException "
    "RequestLimitExceeded OperationAborted 500 502 503 504".split()
)
_EXPIRED = frozenset({"ExpiredToken", "RequestExpired", "TokenRefreshRequired"})
_WRONG = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure"})


class S3Store:
    """A bucket of S3; see `object_store.ObjectStore`."""

    part_bytes = 16 << 20
    parts_at_once = 4

    def __init__(self, bucket: str, options: StorageOptions) -> None:
        import botocore.exceptions
        from botocore import UNSIGNED
        from botocore.config import Config

        self.name = f"s3://{bucket}"
        self.bucket = bucket
        self._options = options
        named = {
            "no_sign_request": options.no_sign_request,
            "endpoint_url": options.endpoint_url,
            "profile_name": options.profile,
        }
        client = client_class("S3Client")
        arguments = client_arguments(client, options, named)
        addressing = arguments.get("addressing_style")
        self._virtual = addressing == "virtual"
        settings = Config(
            signature_version=UNSIGNED if arguments.get("no_sign_request") else None,
            s3={"addressing_style": addressing} if addressing else None,
            # Trying again is `retrying`'s, the same for all providers.
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=_CONNECTIONS,
            # Servers of other makers know no checksums behind the content.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            self._session = client(**arguments).sess
            self.client = self._session.client("s3", endpoint_url=arguments.get("endpoint_url"), config=settings)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise UsageError(f"{self.name}: {error}") from error
        self._signs = settings.signature_version is not UNSIGNED

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """List all objects whose keys begin with a prefix."""
        following = ""
        while True:
            page = retried(partial(self._page, prefix, following))
            for entry in page.get("Contents", ()):
                yield StoredObject(entry["Key"], entry["Size"], entry["ETag"].strip('"'))
            if not page.get("IsTruncated"):
                return
            following = page["NextContinuationToken"]

    def _page(self, prefix: str, following: str) -> dict[str, Any]:
        token = {"ContinuationToken": following} if following else {}
        with self.faults(f"list {self.name}/{prefix}"):
            return dict(self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **token))

    def found(self, key: str) -> StoredObject | None:
        """Describe one object; None where there is none."""
        try:
            with self.faults(f"read {self.name}/{key}"):
                head = self.client.head_object(Bucket=self.bucket, Key=key)
        except NoSuchObjectError:
            return None
        return StoredObject(key, head["ContentLength"], head["ETag"].strip('"'))

    def read(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Read some bytes of an object."""
        import obstore
        from obstore.exceptions import BaseError

        condition = f'"{stored.mark}"'
        try:
            options: Any = {"range": (start, end), "if_match": condition}
            result = obstore.get(self._reader, stored.key, options=options)
            content = bytes(result.bytes())
            if len(content) == end - start and (result.meta.get("e_tag") or condition) == condition:
                return content
        except (BaseError, OSError, ValueError):
            pass  # boto3 says what it is, or reads it.
        return self._read_by_boto(stored, start, end)

    def _read_by_boto(self, stored: StoredObject, start: int, end: int) -> bytes:
        where = f"{self.name}/{stored.key}"
        try:
            with self.faults(f"read {where}"):
                answer = self.client.get_object(
                    Bucket=self.bucket, Key=stored.key, Range=f"bytes={start}-{end - 1}", IfMatch=f'"{stored.mark}"'
                )
                content = bytes(answer["Body"].read())
        except (NoSuchObjectError, ObjectChangedError):
            raise SourceChangedError(
                f"{where}: is gone or has changed since it was listed; run pct-discover again"
            ) from None
        if answer["ETag"].strip('"') != stored.mark:
            raise SourceChangedError(f"{where}: is gone or has changed since it was listed; run pct-discover again")
        if len(content) != end - start:
            raise PassingStorageError(f"cannot read {where}: the answer was cut off")
        return content

    def begin_upload(self, key: str, *, overwrite: bool) -> S3Upload:
        """Begin to write an object."""
        return S3Upload(self, key, overwrite=overwrite)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for start in range(0, len(keys), 1000):
            batch = [{"Key": key} for key in keys[start : start + 1000]]
            with self.faults(f"delete objects in {self.name}"):
                answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            if failed := answer.get("Errors"):
                raise StorageError(f"cannot delete {self.name}/{failed[0]['Key']}: {failed[0].get('Code')}")

    @cached_property
    def _reader(self) -> obstore.store.S3Store:
        from datetime import timedelta

        from obstore.store import S3Store as Reader

        endpoint = self.client.meta.endpoint_url
        region = self.client.meta.region_name or "us-east-1"
        if urlsplit(endpoint).hostname in ("s3.amazonaws.com", f"s3.{region}.amazonaws.com"):
            region = self._bucket_region() or region
            endpoint = f"https://s3.{region}.amazonaws.com"
        if self._virtual:
            scheme, _, host = endpoint.partition("://")
            endpoint = f"{scheme}://{self.bucket}.{host}"
        signing: dict[str, Any] = {"skip_signature": True}
        if self._signs:
            from obstore.auth.boto3 import Boto3CredentialProvider

            signing = {"credential_provider": Boto3CredentialProvider(self._session, ttl=timedelta(minutes=5))}
        return Reader(
            self.bucket,
            region=region,
            aws_endpoint_url_s3=endpoint,
            virtual_hosted_style_request=self._virtual,
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=_READ_SECONDS),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": 0},
            **signing,
        )

    def _bucket_region(self) -> str | None:
        """Ask where a bucket lies; the answer says so even to those who may not see it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            answer = error.response
        except BotoCoreError:
            return None
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region") or "") or None

    @contextmanager
    def faults(self, doing: str) -> Iterator[None]:
        """Give the errors of boto3 the form of ours, by their classes and codes; what they say may hold signed URLs."""
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            raise self._described(error.response, doing) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            raise StorageError(
                f"cannot {doing}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name "
                "--profile, or give --no-sign-request for a public bucket"
            ) from None
        except (exceptions.CredentialRetrievalError, exceptions.TokenRetrievalError):
            raise StorageError(f"cannot {doing}: the credentials cannot be had; log in again") from None
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise PassingStorageError(f"cannot {doing}: {_short(error)}") from None
        except exceptions.BotoCoreError as error:
            raise StorageError(f"cannot {doing}: {type(error).__name__}") from None
        except OSError as error:
            if isinstance(error, PctError):
                raise
            raise PassingStorageError(f"cannot {doing}: {_short(error)}") from None

    def _described(self, response: Any, doing: str) -> PctError:
        """Make our error of an answer that is one."""
        said = response.get("Error", {})
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(said.get("Code", status))
        if code == "NoSuchBucket":
            return SourceNotFoundError(f"cannot {doing}: there is no bucket {self.bucket}")
        if code == "NoSuchUpload":
            return NoSuchUploadError(f"cannot {doing}: the upload was aborted by somebody else")
        if code in _EXPIRED:
            return StorageError(f"cannot {doing}: the credentials have expired; log in again")
        if code in _WRONG:
            return StorageError(f"cannot {doing}: the credentials are not accepted ({code})")
        if code in _PASSING or status >= 500 or status == 429:
            return PassingStorageError(f"cannot {doing}: the server is busy or out of order ({code})")
        if status == 404:
            return NoSuchObjectError(f"cannot {doing}: it is gone, or never was there")
        if status in (409, 412):
            return ObjectChangedError(f"cannot {doing}: it has changed meanwhile")
        if status == 403:
            return StorageError(f"cannot {doing}: no permission ({code}); for a public bucket give --no-sign-request")
        return StorageError(f"cannot {doing}: the server says {code}")


def _short(error: Exception) -> str:
    """Say what kind of fault a connection had; the whole message would name a signed URL."""
    words = {
        "ReadTimeoutError": "no answer in time",
        "ConnectTimeoutError": "no connection in time",
        "EndpointConnectionError": "no connection to the server",
        "ConnectionClosedError": "the connection was lost",
        "IncompleteReadError": "the answer was cut off",
        "ResponseStreamingError": "the connection was lost",
        "SSLError": "the server's certificate is not accepted",
    }
    return words.get(type(error).__name__, f"the connection failed ({type(error).__name__})")
