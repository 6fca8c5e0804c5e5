"""Access to S3 and Azure: address, region and credentials from options, the environment and settings files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, S3Store
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.storage.cloud import object_store
from pycytominer_transform.common.storage.options import StorageOptions

_S3_LOG_IN = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name --profile, or give --no-sign-request for a public bucket"
)
_AZURE_LOG_IN = (
    "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "or give --no-sign-request for a public container"
)
_UNSIGNED: Mapping[str, Any] = {"skip_signature": True}
_DEFAULT_REGION = "us-east-1"
FIRST_WAIT = timedelta(seconds=0.2)
"""Before the first retry of a request; each further one waits longer."""


@dataclass(frozen=True)
class Access:
    """The address and the credentials of a bucket.

    Attributes
    ----------
    kind : type
        A store class of obstore.
    endpoint : str
        URL of the server.
    settings : mapping
        The other arguments of the class; they may be credentials.
    log_in : str
        Advice for a user who has no credentials.
    """

    kind: Callable[..., Any]
    bucket: str
    endpoint: str
    settings: Mapping[str, Any] = field(repr=False)
    log_in: str

    def open(self, max_retries: int) -> Any:
        """Open the bucket; no request is sent yet."""
        return self.kind(
            self.bucket,
            endpoint=self.endpoint.rstrip("/"),
            client_options={
                "allow_http": self.endpoint.startswith("http:"),
                "connect_timeout": timedelta(seconds=object_store.CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=object_store.READ_SECONDS),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": max_retries, "backoff": {"init_backoff": FIRST_WAIT}},
            **self.settings,
        )


def s3_access(bucket: str, options: StorageOptions) -> Access:
    """Return the address and the credentials of a bucket of S3.

    Raises
    ------
    UsageError
        The options do not go together.
    StorageError
        There are no credentials.
    """
    import boto3.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    arguments = options.arguments("s3")
    style = arguments.get("addressing_style")
    is_signed = not (options.no_sign_request or arguments.get("no_sign_request"))
    settings = Config(
        signature_version=None if is_signed else UNSIGNED,
        s3={"addressing_style": style} if style else None,
        retries={"total_max_attempts": 2},
        connect_timeout=object_store.CONNECT_SECONDS,
        read_timeout=object_store.READ_SECONDS,
    )
    keys = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    try:
        session = boto3.session.Session(
            profile_name=options.profile or arguments.get("profile_name"), **{key: arguments.get(key) for key in keys}
        )
        address = options.endpoint_url or arguments.get("endpoint_url")
        client = session.client("s3", endpoint_url=address, config=settings)
        is_known = not is_signed or session.get_credentials() is not None
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"s3://{bucket}: {error}") from error
    if not is_known:
        raise StorageError(f"cannot reach s3://{bucket}: there are no credentials; {_S3_LOG_IN}")
    endpoint, region = client.meta.endpoint_url, client.meta.region_name or _DEFAULT_REGION
    if urlsplit(endpoint).hostname in ("s3.amazonaws.com", f"s3.{region}.amazonaws.com"):
        region = _region_of(client, bucket) or region
        endpoint = f"https://s3.{region}.amazonaws.com"
    if style == "virtual":
        endpoint = endpoint.replace("://", f"://{bucket}.", 1)
    return Access(
        S3Store, bucket, endpoint,
        {"region": region, "virtual_hosted_style_request": style == "virtual", **_signing(session, is_signed)},
        _S3_LOG_IN,
    )  # fmt: skip


def _signing(session: Any, is_signed: bool) -> Mapping[str, Any]:
    from obstore.auth.boto3 import Boto3CredentialProvider

    if not is_signed:
        return _UNSIGNED
    return {"credential_provider": Boto3CredentialProvider(session, ttl=timedelta(minutes=5))}


def _region_of(client: Any, bucket: str) -> str:
    """Return the region of a bucket; the server answers even without permission to read it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    except BotoCoreError:
        return ""
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region") or "")


def azure_access(container: str, options: StorageOptions) -> Access:
    """Return the address and the credentials of a container of Azure.

    Raises
    ------
    UsageError
        The options do not go together, or a connection string is malformed.
    StorageError
        There are no credentials.
    """
    name = f"az://{container}"
    if options.profile:
        raise UsageError("--profile means nothing to Azure")
    given = options.arguments("az")
    connection = given.get("connection_string") or ""
    if not connection and not given.get("account_url"):
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    try:
        parts = dict(part.split("=", 1) for part in connection.strip("; ").split(";") if part)
        url = urlsplit(options.endpoint_url or given.get("account_url") or _blob_endpoint(parts))
        account = parts.get("AccountName") or os.environ.get("AZURE_STORAGE_ACCOUNT") or ""
        account = account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or ""
        if not url.hostname and not account:
            raise StorageError(f"{name}: no account is named; {_AZURE_LOG_IN}")
        if not url.hostname:
            url = urlsplit(f"https://{account}.blob.core.windows.net")
        if url.scheme not in ("http", "https"):
            raise ValueError
    except ValueError:
        # The text of the error may hold the credentials.
        raise UsageError(f"{name}: the account's address or connection string is malformed") from None
    account = account or url.path.strip("/") or (url.hostname or "").partition(".")[0]
    endpoint = url._replace(query="", netloc=url.netloc.replace(".dfs.", ".blob.", 1)).geturl()
    secret = given.get("credential") or url.query or parts.get("AccountKey") or parts.get("SharedAccessSignature") or ""
    signing = _UNSIGNED if options.no_sign_request else _azure_signing(secret, name)
    return Access(AzureStore, container, endpoint, {"account_name": account, **signing}, _AZURE_LOG_IN)


def _blob_endpoint(parts: Mapping[str, str]) -> str:
    if "BlobEndpoint" in parts or not parts:
        return parts.get("BlobEndpoint", "")
    scheme, suffix = parts.get("DefaultEndpointsProtocol", "https"), parts.get("EndpointSuffix", "core.windows.net")
    return f"{scheme}://{parts['AccountName']}.blob.{suffix}" if "AccountName" in parts else ""


def _azure_signing(secret: str, name: str) -> Mapping[str, Any]:
    secret = secret or os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN") or ""
    if "sig=" in secret:
        return {"credential_provider": lambda: {"sas_token": secret, "expires_at": None}}
    if secret:
        return {"credential_provider": lambda: {"access_key": secret, "expires_at": None}}
    try:
        from azure.identity import DefaultAzureCredential
        from obstore.auth.azure import AzureCredentialProvider
    except ModuleNotFoundError:
        raise StorageError(f"{name}: there are no credentials; {_AZURE_LOG_IN}") from None
    return {"credential_provider": AzureCredentialProvider(DefaultAzureCredential(process_timeout=5))}
