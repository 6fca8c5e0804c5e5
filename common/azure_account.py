"""Reaching an account of Azure Blob Storage: its address and credentials, from options and the environment.

The options are the arguments of cloudpathlib's client. Azure's own client is made of them here, as cloudpathlib would
make it, since that one tries again by itself and waits for minutes.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pycytominer_transform.common.cloud_clients import client_arguments, client_class, refuse_options
from pycytominer_transform.common.errors import StorageError, UsageError
from pycytominer_transform.common.storage_options import StorageOptions

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

CONNECTIONS = 64
LOG_IN = (
    "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "or give --no-sign-request for a public container"
)


def service_client(container: str, options: StorageOptions, connect: float, read: float) -> BlobServiceClient:
    """Make Azure's client of an account.

    Parameters
    ----------
    container : str
        What messages name, as a URI.
    connect, read : float
        How long to wait for a connection and for an answer, in seconds.

    Raises
    ------
    UsageError
        The options do not fit Azure, or its packages are not installed.
    StorageError
        There are no credentials.
    """
    refuse_options("Azure", profile=options.profile)
    try:
        given = client_arguments(client_class("AzureBlobClient"), options, {})
    except ModuleNotFoundError:
        raise UsageError(f"{container}: Azure needs more packages; pip install pycytominer-transform[azure]") from None
    # It tells of every request, with its address.
    logging.getLogger("azure").setLevel(logging.ERROR)
    settings = {
        "transport": _transport(connect, read),
        # Trying again is `retrying`'s, the same for all providers.
        "retry_total": 0,
        "max_single_get_size": 1 << 26,
    }
    try:
        client: BlobServiceClient = _client(container, options, given, settings)
        return client
    except (ValueError, TypeError, AttributeError):
        # What they say may hold the credentials.
        raise UsageError(
            f"{container}: the account's address, connection string or credentials are malformed"
        ) from None


def _transport(connect: float, read: float) -> Any:
    import requests
    from azure.core.pipeline.transport import RequestsTransport

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
    return RequestsTransport(session=session, connection_timeout=connect, read_timeout=read)


def _client(container: str, options: StorageOptions, given: dict[str, Any], settings: dict[str, Any]) -> Any:
    from azure.storage.blob import BlobServiceClient

    url = options.endpoint_url or given.get("account_url") or ""
    credential = given.get("credential")
    text = given.get("connection_string")
    if not text and not given.get("account_url"):
        text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if text:
        described = BlobServiceClient.from_connection_string(text, credential)
        parts = urlsplit(described.url)
        query = f"?{parts.query}" if parts.query else ""
        url = (url or parts._replace(query="").geturl()) + query
        credential = described.credential
    account = os.environ.get("AZURE_STORAGE_ACCOUNT") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or ""
    if not url and not account:
        raise StorageError(f"{container}: no account is named; {LOG_IN}")
    url = url.replace(".dfs.", ".blob.", 1) or f"https://{account}.blob.core.windows.net"
    if options.no_sign_request:
        return BlobServiceClient(urlsplit(url)._replace(query="").geturl(), **settings)
    if credential is None and not _is_signed(urlsplit(url).query):
        credential = _from_environment() or _default_credential(container)
    if isinstance(credential, str) and account and not _is_signed(credential):
        from azure.core.credentials import AzureNamedKeyCredential

        credential = AzureNamedKeyCredential(account, credential)
    return BlobServiceClient(url, credential, **settings)


def _is_signed(query: str) -> bool:
    """Say whether a text is a shared access signature, rather than a key."""
    return "sig=" in query


def _from_environment() -> str:
    return os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN") or ""


def _default_credential(container: str) -> Any:
    if find_spec("azure.identity") is None:
        raise StorageError(f"{container}: there are no credentials; {LOG_IN}")
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(process_timeout=5)
