"""Fixtures of the tests with object storage: real servers, and buckets with the environment that reaches them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cloud_azure import AZURITE, NOT_INSTALLED, Azure, azure_server
from cloud_gcs import GCS, gcs_server
from cloud_s3 import S3, moto_server, s3_server
from cloud_servers import Bucket, Server
from pycytominer_transform.common.storage.cloud import request_retries
from pycytominer_transform.common.storage.cloud.object_store import forget_stores

STORES = {"s3": "s3_server", "gcs": "gcs_server", "azure": "azure_server"}
CLOUD_VARIABLES = ("AWS_", "GOOGLE_", "GCS", "CLOUDSDK_", "NO_GCE_CHECK", "STORAGE_EMULATOR_HOST", "AZURE_", "BOTO")
CACHE = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(scope="session", name="s3_server")
def _s3_server() -> Iterator[S3]:
    """Give a running SeaweedFS."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session", name="moto_server")
def _moto_server() -> Iterator[S3]:
    """Give a running moto, for what SeaweedFS does not; see cloud_servers."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session", name="gcs_server")
def _gcs_server() -> Iterator[GCS]:
    """Give a running fake-gcs-server."""
    with gcs_server() as server:
        yield server


@pytest.fixture(scope="session", name="azure_server")
def _azure_server() -> Iterator[Azure]:
    """Give a running Azurite; its tests are skipped only where npm could not install it."""
    if not AZURITE.exists():
        pytest.skip(NOT_INSTALLED)
    with azure_server() as server:
        yield server


@pytest.fixture(params=["s3", "gcs", pytest.param("azure", marks=pytest.mark.endurance)])
def object_store(request: pytest.FixtureRequest) -> Server:
    """Give a server of each provider in turn."""
    server: Server = request.getfixturevalue(STORES[request.param])
    return server


@pytest.fixture
def no_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own settings, credential files and proxies out of a test."""
    forget_stores()
    for name in os.environ:
        if name.startswith(CLOUD_VARIABLES) or name.upper() in PROXY_VARIABLES:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    # Where a database for Prefect's server lies, which else every flow would make anew.
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow at once, ours and those of gcsfs, which knows no setting for it."""
    monkeypatch.setattr(request_retries, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / 100)))


@pytest.fixture
def bucket(object_store: Server, no_cloud: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give a fresh bucket of each provider in turn; the environment points clients at it."""
    for name, text in object_store.environment.items():
        monkeypatch.setenv(name, text)
    return object_store.new_bucket()


@pytest.fixture
def s3(s3_server: S3, no_cloud: None, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give a fresh bucket of S3 alone; the environment points clients at it."""
    for name, text in s3_server.environment.items():
        monkeypatch.setenv(name, text)
    return s3_server.new_bucket()
