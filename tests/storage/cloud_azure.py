"""An Azure Blob Storage server for tests: Azurite, which `make test` installs from npm into the virtual environment."""

from __future__ import annotations

import base64
import contextlib
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    PublicAccess,
    ResourceTypes,
    generate_account_sas,
)
from cloud_processes import HOST, NotStartedError, answers, free_ports, retried, running
from cloud_servers import Server

__all__ = ["AZURITE", "CONNECTION_STRING", "NOT_INSTALLED", "Azure", "azure_server"]

ACCOUNT = "plates"
CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
AZURITE = Path(sys.prefix) / "node_modules/azurite/dist/src/blob/main.js"
NOT_INSTALLED = "Azurite, Azure's storage server, is not there: npm could not install it"


class Azure(Server):
    """A running Azure Blob Storage server with one account."""

    scheme = "az"

    def __init__(self, origin: str, key: str) -> None:
        super().__init__(origin)
        self.secrets = (key,)
        self.client = self.connect()

    @property
    def endpoint(self) -> str:
        return f"{self.origin}/{ACCOUNT}"

    def connect(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.environment[CONNECTION_STRING])

    @property
    def environment(self) -> dict[str, str]:
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.secrets[0]}"
        return {CONNECTION_STRING: f"{account};BlobEndpoint={self.endpoint};"}

    @property
    def reader_environment(self) -> dict[str, str]:
        until = datetime.now(UTC) + timedelta(days=1)
        everything, reading = ResourceTypes(True, True, True), AccountSasPermissions(read=True, list=True)
        token = generate_account_sas(ACCOUNT, self.secrets[0], everything, reading, until)
        return {CONNECTION_STRING: f"BlobEndpoint={self.endpoint};SharedAccessSignature={token}"}

    @property
    def wrong_environment(self) -> dict[str, str]:
        return {
            name: text.replace(self.secrets[0], base64.b64encode(secrets.token_bytes(64)).decode())
            for name, text in self.environment.items()
        }

    @property
    def anonymous_environment(self) -> dict[str, str]:
        return {}

    def make_bucket(self, name: str, *, public: bool) -> None:
        self.client.create_container(name, public_access=PublicAccess.CONTAINER if public else None)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.get_blob_client(bucket, key).upload_blob(content, overwrite=True)

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_blob_client(bucket, key).download_blob().readall()
        return content

    def delete(self, bucket: str, key: str) -> None:
        self.client.get_blob_client(bucket, key).delete_blob()

    def versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str | None]]:
        blobs = self.client.get_container_client(bucket).list_blobs(name_starts_with=prefix)
        return ((blob.name, blob.etag) for blob in blobs)

    def open_uploads(self, bucket: str) -> list[str]:
        return [
            blob.name
            for blob in self.client.get_container_client(bucket).list_blobs(include=["uncommittedblobs"])
            if self.client.get_blob_client(bucket, blob.name).get_block_list("uncommitted")[1]
        ]


@contextlib.contextmanager
def azurite() -> Iterator[Azure]:
    """Run Azurite once."""
    if not AZURITE.exists():
        raise NotStartedError(f"there is no {AZURITE}; make test installs it")
    (port,) = free_ports(1)
    server = Azure(f"http://{HOST}:{port}", base64.b64encode(secrets.token_bytes(64)).decode())
    words = ["--blobHost", HOST, "--blobPort", port, "--inMemoryPersistence", "--disableTelemetry"]
    command = [shutil.which("node"), AZURITE, *words, "--skipApiVersionCheck", "--silent"]
    accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{server.secrets[0]}"}
    with running(lambda _: command, lambda: answers(server.origin), accounts):
        yield server


def azure_server() -> AbstractContextManager[Azure]:
    """Run Azurite with all data in memory."""
    return retried(azurite)
