"""The servers themselves: they store, list and forget, know what is unfinished, and end with the test run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cloud_azure import CONNECTION_STRING, Azure
from cloud_processes import answers, running
from cloud_s3 import S3
from cloud_servers import Bucket


def test_objects_are_stored_listed_and_removed(bucket: Bucket) -> None:
    assert bucket.put("a/ b+ö%/1.csv", b"one") == f"{bucket.url}/a/ b+ö%/1.csv"
    bucket.put("b.csv", b"")
    assert bucket.keys() == ["a/ b+ö%/1.csv", "b.csv"]
    assert (bucket.get("a/ b+ö%/1.csv"), bucket.get("b.csv")) == (b"one", b"")
    bucket.put("b.csv", b"two")
    bucket.delete("a/ b+ö%/1.csv")
    assert (bucket.keys(), bucket.get("b.csv")) == (["b.csv"], b"two")


def test_a_folder_is_stored_as_it_is(bucket: Bucket, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
        (tmp_path / "tree" / str(number) / "Cells.csv").write_text(str(number))
    assert bucket.upload_tree(tmp_path / "tree", "x/y/") == f"{bucket.url}/x/y/"
    assert bucket.keys("x/y/1/") == ["x/y/1/Cells.csv"]
    assert len(bucket.keys()) == 40
    assert bucket.get("x/y/17/Cells.csv") == b"17"


@pytest.fixture
def developers_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a developer may have set."""
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_CLIENT_ID",
        "https_proxy",
    ):
        monkeypatch.setenv(name, "the developer's own")


def test_a_test_sees_its_own_settings_alone(developers_shell: None, bucket: Bucket) -> None:
    assert "the developer's own" not in os.environ.values()
    assert not list(Path.home().iterdir())
    assert bucket.environment.items() <= os.environ.items()


def test_buckets_share_nothing(bucket: Bucket) -> None:
    bucket.put("a", b"")
    assert bucket.server.new_bucket().keys() == []


def test_moto_takes_any_name_and_lists_in_order_of_bytes(moto_server: S3) -> None:
    bucket = moto_server.new_bucket()
    names = ["a-b", "a/b", "a/b/c", "d//e", "x/../y"]
    for name in names:
        bucket.put(name, b"")
    assert [name for name, _ in moto_server.versions(bucket.name, "")] == names


def test_s3_lists_and_reads_as_the_keys_allow(s3_server: S3) -> None:
    private, public = s3_server.new_bucket(), s3_server.new_bucket(public=True)
    anybody, reader, stranger = (
        client(environment)
        for environment in (s3_server.anonymous_environment, s3_server.reader_environment, s3_server.wrong_environment)
    )
    for bucket in (private, public):
        bucket.put("a", b"a")
        assert reader.get_object(Bucket=bucket.name, Key="a")["Body"].read() == b"a"
        assert refusal(reader.put_object, Bucket=bucket.name, Key="b", Body=b"") == "AccessDenied"
        assert refusal(stranger.get_object, Bucket=bucket.name, Key="a") == "SignatureDoesNotMatch"
    assert anybody.list_objects_v2(Bucket=public.name)["KeyCount"] == 1
    assert anybody.get_object(Bucket=public.name, Key="a")["Body"].read() == b"a"
    assert refusal(anybody.get_object, Bucket=private.name, Key="a") == "AccessDenied"


def test_s3_knows_unfinished_uploads_and_conditions(s3_server: S3) -> None:
    bucket = s3_server.new_bucket()
    bucket.put("a", b"old")
    key = {"Bucket": bucket.name, "Key": "a"}
    begun = key | {"UploadId": s3_server.client.create_multipart_upload(**key)["UploadId"]}
    part = s3_server.client.upload_part(**begun, PartNumber=1, Body=b"new")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    complete = s3_server.client.complete_multipart_upload
    assert refusal(complete, **begun, MultipartUpload=parts, IfNoneMatch="*") == "PreconditionFailed"
    assert (bucket.open_uploads(), bucket.get("a")) == (["a"], b"old")
    s3_server.client.abort_multipart_upload(**begun)
    assert bucket.open_uploads() == []


def client(environment: dict[str, str]) -> Any:
    """Give a client of S3 with the keys in an environment, or unsigned."""
    keys = {name.lower(): text for name, text in environment.items() if name.startswith(("AWS_ACC", "AWS_SEC"))}
    config = None if keys else Config(signature_version=UNSIGNED)
    endpoint, region = environment["AWS_ENDPOINT_URL_S3"], environment["AWS_DEFAULT_REGION"]
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config, **keys)


def refusal(ask: Callable[..., object], **request: object) -> str:
    """Give the error code of a request that must be refused."""
    with pytest.raises(ClientError) as refused:
        ask(**request)
    code: str = refused.value.response["Error"]["Code"]
    return code


def test_azure_reads_and_lists_as_the_keys_allow(azure_server: Azure) -> None:
    private, public = azure_server.new_bucket(), azure_server.new_bucket(public=True)
    private.put("a", b"a")
    public.put("a", b"a")
    reader = BlobServiceClient.from_connection_string(azure_server.reader_environment[CONNECTION_STRING])
    stranger = BlobServiceClient.from_connection_string(
        azure_server.wrong_environment[CONNECTION_STRING], retry_total=0
    )
    anybody = BlobServiceClient(azure_server.endpoint)
    assert reader.get_blob_client(private.name, "a").download_blob().readall() == b"a"
    assert anybody.get_blob_client(public.name, "a").download_blob().readall() == b"a"
    for ask in (
        reader.get_blob_client(private.name, "b").upload_blob,
        anybody.get_blob_client(public.name, "b").upload_blob,
    ):
        with pytest.raises(HttpResponseError, match="Authorization"):
            ask(b"")
    for refused in (stranger, anybody):
        with pytest.raises(HttpResponseError, match="Authorization"):
            refused.get_blob_client(private.name, "a").download_blob()


def test_azure_knows_uncommitted_blocks(azure_server: Azure) -> None:
    bucket = azure_server.new_bucket()
    bucket.put("a", b"old")
    for name in ("a", "b"):
        azure_server.client.get_blob_client(bucket.name, name).stage_block("MDAw", b"new")
    assert (bucket.open_uploads(), bucket.keys(), bucket.get("a")) == (["a", "b"], ["a"], b"old")


def test_what_a_server_leaves_outside_its_folder_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "left.sock"
    with running(
        lambda _: ["sh", "-c", f"touch '{left}'; sleep 600"], left.exists, {}, [str(left), str(tmp_path / "never.sock")]
    ):
        assert left.exists()
    assert not left.exists()


STAY = """
import sys, time
from cloud_s3 import s3_server
with s3_server() as server:
    server.new_bucket().put("a", b"b" * 1000)
    print(server.origin, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_run_that_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": path}
    run = subprocess.Popen([sys.executable, "-c", STAY], env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    origin = run.stdout.readline().strip()
    (folder,) = tmp_path.glob("pct-cloud-*")
    assert answers(origin)
    run.send_signal(how)
    run.communicate()
    deadline = time.monotonic() + 60
    while answers(origin) or folder.exists():
        assert time.monotonic() < deadline, f"{origin} is still there"
        time.sleep(0.05)
