"""boto3's client of S3, as the options and all that boto3 reads by itself (files of settings, roles) have it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pycytominer_transform.common.cloud_clients import client_arguments, client_class
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.s3_reader import CONNECT_SECONDS, DEFAULT_REGION, READ_SECONDS, UNSIGNED, Access
from pycytominer_transform.common.storage_options import StorageOptions

_CONNECTIONS = 64
_CREDENTIALS_HOLD = timedelta(minutes=5)


@dataclass(frozen=True)
class Connected:
    """A client, with what it was made of.

    Attributes
    ----------
    client : botocore.client.S3
        Asks; it tries nothing again.
    session : boto3.Session
        Knows the credentials.
    signs, is_virtual : bool
        Requests are signed; the bucket's name is part of the host's.
    """

    client: Any
    session: Any
    signs: bool
    is_virtual: bool

    def access(self, bucket: str) -> Access:
        """Say where a bucket is, and how requests are signed; a bucket of Amazon's may be asked for its region.

        Raises
        ------
        StorageError
            There are no credentials.
        """
        endpoint = self.client.meta.endpoint_url
        region = self.client.meta.region_name or DEFAULT_REGION
        if urlsplit(endpoint).hostname in ("s3.amazonaws.com", f"s3.{region}.amazonaws.com"):
            region = self._region_of(bucket) or region
            endpoint = f"https://s3.{region}.amazonaws.com"
        signing = UNSIGNED
        if self.signs:
            from obstore.auth.boto3 import Boto3CredentialProvider

            if self.session.get_credentials() is None:
                raise no_credentials(f"reach s3://{bucket}")
            signing = {"credential_provider": Boto3CredentialProvider(self.session, ttl=_CREDENTIALS_HOLD)}
        return Access(endpoint, region, signing, self.is_virtual)

    def _region_of(self, bucket: str) -> str | None:
        """Ask where a bucket lies; the answer says so even to those who may not see it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client.head_bucket(Bucket=bucket)
        except ClientError as error:
            answer = error.response
        except BotoCoreError:
            return None
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region") or "") or None


def no_credentials(doing: str) -> StorageError:
    """Say that nobody told who asks."""
    return StorageError(
        f"cannot {doing}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name "
        "--profile, or give --no-sign-request for a public bucket"
    )


def connect(name: str, options: StorageOptions) -> Connected:
    """Make a client; nothing is asked yet.

    Parameters
    ----------
    name : str
        What errors call the bucket.

    Raises
    ------
    UsageError
        The options do not fit.
    """
    import botocore.exceptions
    from botocore import UNSIGNED as NO_SIGNATURE
    from botocore.config import Config

    named = {
        "no_sign_request": options.no_sign_request,
        "endpoint_url": options.endpoint_url,
        "profile_name": options.profile,
    }
    kind = client_class("S3Client")
    arguments = client_arguments(kind, options, named)
    addressing = arguments.get("addressing_style")
    signs = not arguments.get("no_sign_request")
    settings = Config(
        signature_version=None if signs else NO_SIGNATURE,
        s3={"addressing_style": addressing} if addressing else None,
        # Trying again is `retrying`'s, the same for all providers.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        # Servers of other makers know no checksums behind the content.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = kind(**arguments).sess
        client = session.client("s3", endpoint_url=arguments.get("endpoint_url"), config=settings)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error
    return Connected(client, session, signs, addressing == "virtual")
