"""The proxy: what it lets pass is as without it, and what it spoils is spoilt as it says."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
from botocore.exceptions import BotoCoreError, ClientError
from cloud_azure import CONNECTION_STRING
from cloud_gcs import GCS
from cloud_s3 import S3
from cloud_servers import Bucket, Server
from fault_kinds import ALWAYS, Changed, Cut, ErrorInside, Hang, Kind, Refused, Request, Reset
from fault_proxy import FaultProxy
from google.api_core.exceptions import GoogleAPICallError

BODY = bytes(range(256)) * 400


@pytest.fixture
def public(s3_server: S3) -> Bucket:
    """Give a bucket that urllib can read without signing, with one object."""
    bucket = s3_server.new_bucket(public=True)
    bucket.put("a", BODY)
    return bucket


def read(proxy: FaultProxy, bucket: Bucket, timeout: float = 30) -> bytes:
    with urllib.request.urlopen(f"{proxy.url}/{bucket.name}/a", timeout=timeout) as answer:
        content: bytes = answer.read()
    return content


def test_all_passes_as_without_it(object_store: Server) -> None:
    with FaultProxy(object_store) as proxy:
        bucket = proxy.through.new_bucket()
        for key, content in {"a/ b+ö%": BODY, "empty": b"", "large": BODY * 100}.items():
            bucket.put(key, content)
            assert bucket.get(key) == object_store.get(bucket.name, key) == content
        assert bucket.keys() == object_store.bucket(bucket.name).keys()
        bucket.delete("empty")
        assert object_store.bucket(bucket.name).keys() == ["a/ b+ö%", "large"]
        seen = proxy.requests
    assert [request.number for request in seen] == list(range(1, len(seen) + 1))
    # Azure's client asks for a range first, which an empty object does not have.
    assert {request.status for request in seen} <= {200, 201, 202, 204, 206, 308, 416}
    assert not any(request.fault for request in seen)


def test_addresses_that_a_server_names_lead_through_the_proxy(gcs_server: GCS) -> None:
    with FaultProxy(gcs_server) as proxy:
        bucket = proxy.through.new_bucket()
        blob = proxy.through.client.bucket(bucket.name).blob("a", chunk_size=256 * 1024)
        blob.upload_from_file(BytesIO(BODY * 4))
        blob.reload()
        assert blob.download_as_bytes() == BODY * 4
        asked = [(one.method, one.target.split("/")[1]) for one in proxy.requests]
    assert asked.count(("PUT", "upload")) == 2
    assert asked[-1] == ("GET", "download")


def test_a_fault_befalls_the_request_of_its_number_and_its_repetitions(public: Bucket) -> None:
    public.put("b", b"b")
    with FaultProxy(public.server, {2: Refused(Kind.SLOW_DOWN, times=2)}) as proxy:
        statuses = [status(f"{proxy.url}/{public.name}/{key}") for key in "abbabb"]
        assert statuses == [200, 503, 503, 200, 200, 200]
        assert [(one.number, one.status, one.fault) for one in proxy.requests[:3]] == [
            (1, 200, ""), (2, 503, "Refused"), (3, 503, "Refused"),
        ]  # fmt: skip
        assert (proxy.requests[0].method, proxy.requests[0].target) == ("GET", f"/{public.name}/a")


def test_a_fault_befalls_those_that_a_function_chooses(public: Bucket) -> None:
    def ranged(request: Request) -> bool:
        return "range" in request.headers

    with FaultProxy(public.server, {ranged: Refused(Kind.GONE, times=ALWAYS)}) as proxy:
        url = f"{proxy.url}/{public.name}/a"
        assert [status(url, Range=f"bytes=0-{last}") for last in range(3)] == [404, 404, 404]
        assert status(url) == 200


def status(url: str, **headers: str) -> int:
    """Give the status with which a GET is answered."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            number: int = answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
    return number


@pytest.mark.parametrize("after", [None, 0, 0.5])
def test_a_connection_breaks(public: Bucket, after: float | None) -> None:
    with FaultProxy(public.server, {1: Reset(after)}) as proxy:
        with pytest.raises(ConnectionResetError):
            read_raw(proxy, public)
        assert proxy.requests[0].status == (200 if after else None)
        assert read(proxy, public) == BODY


def read_raw(proxy: FaultProxy, bucket: Bucket) -> bytes:
    """Give an object's bytes by a connection whose errors come as they are."""
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", f"/{bucket.name}/a")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_an_answer_is_cut_short(public: Bucket) -> None:
    with FaultProxy(public.server, {1: Cut(0.25)}) as proxy:
        with pytest.raises(http.client.IncompleteRead) as short:
            read_raw(proxy, public)
        assert short.value.partial == BODY[: len(BODY) // 4]
        assert read(proxy, public) == BODY


@pytest.mark.parametrize("after", [None, 0.5])
def test_an_answer_does_not_come(public: Bucket, after: float | None) -> None:
    with FaultProxy(public.server, {1: Hang(after)}) as proxy:
        with pytest.raises(TimeoutError):
            read(proxy, public, timeout=0.5)
        assert read(proxy, public) == BODY


def test_an_unanswered_client_does_not_keep_the_proxy_from_ending(public: Bucket) -> None:
    with FaultProxy(public.server, {1: Hang()}) as proxy:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
        connection.request("GET", f"/{public.name}/a")
        while not proxy.requests:
            pass
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()


def test_somebody_changes_the_object_first(public: Bucket) -> None:
    with FaultProxy(public.server, {2: Changed(lambda: public.put("a", b"new"))}) as proxy:
        assert [read(proxy, public) for _ in range(3)] == [BODY, b"new", b"new"]


def test_what_goes_wrong_in_the_proxy_itself_is_not_kept_secret(public: Bucket) -> None:
    with pytest.raises(ZeroDivisionError), FaultProxy(public.server, {1: Changed(lambda: 1 / 0)}) as proxy:
        status(f"{proxy.url}/{public.name}/a")


REFUSALS = {
    Kind.SLOW_DOWN: (503, "SlowDown", "ServerBusy"),
    Kind.TOO_MANY: (429, "TooManyRequests", "ServerBusy"),
    Kind.INTERNAL: (500, "InternalError", "InternalError"),
    Kind.FORBIDDEN: (403, "AccessDenied", "AuthorizationPermissionMismatch"),
    Kind.EXPIRED: (401, "ExpiredToken", "AuthenticationFailed"),
    Kind.GONE: (404, "NoSuchKey", "BlobNotFound"),
    Kind.NO_BUCKET: (404, "NoSuchBucket", "ContainerNotFound"),
    Kind.PRECONDITION: (412, "PreconditionFailed", "ConditionNotMet"),
}


@pytest.mark.parametrize("kind", Kind)
def test_clients_know_a_refusal_by_what_the_provider_says(object_store: Server, kind: Kind) -> None:
    number, amazons, azures = REFUSALS[kind]
    bucket = object_store.new_bucket()
    bucket.put("a", b"a")
    with FaultProxy(object_store, {lambda _: True: Refused(kind, times=ALWAYS)}) as proxy:
        if isinstance(object_store, S3):
            with pytest.raises(ClientError) as amazon:
                proxy.through.get(bucket.name, "a")
            assert amazon.value.response["Error"]["Code"] == amazons
        elif isinstance(object_store, GCS):
            blob = proxy.through.client.bucket(bucket.name).blob("a")
            for ask in (blob.download_as_bytes, blob.reload):
                with pytest.raises(GoogleAPICallError) as google:
                    ask(retry=None)
                assert google.value.code == number
        else:
            impatient = BlobServiceClient.from_connection_string(proxy.environment[CONNECTION_STRING], retry_total=0)
            with pytest.raises(HttpResponseError, match=f"ErrorCode:{azures}"):
                impatient.get_blob_client(bucket.name, "a").download_blob()


def test_s3s_client_takes_an_error_in_an_answer_for_one(s3_server: S3) -> None:
    bucket = s3_server.new_bucket()
    key = {"Bucket": bucket.name, "Key": "a"}

    def completes(request: Request) -> bool:
        return request.method == "POST" and "uploadId=" in request.target

    with FaultProxy(s3_server, {completes: ErrorInside()}) as proxy:
        client = proxy.through.client
        begun = key | {"UploadId": client.create_multipart_upload(**key)["UploadId"]}
        part = client.upload_part(**begun, PartNumber=1, Body=BODY)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        with pytest.raises(ClientError, match="InternalError"):
            client.complete_multipart_upload(**begun, MultipartUpload=parts)
        assert (bucket.keys(), bucket.open_uploads()) == ([], ["a"])
        client.complete_multipart_upload(**begun, MultipartUpload=parts)
    assert bucket.get("a") == BODY


def test_an_upload_whose_answer_is_lost_is_made_all_the_same(s3_server: S3) -> None:
    bucket = s3_server.new_bucket()
    with FaultProxy(s3_server, {1: Reset(after=0), 2: Reset()}) as proxy:
        for key in ("heard", "unheard"):
            with pytest.raises(BotoCoreError):
                proxy.through.put(bucket.name, key, BODY)
    assert bucket.keys() == ["heard"]


def test_many_requests_at_once_are_each_counted(public: Bucket) -> None:
    with FaultProxy(public.server, {50: Reset()}) as proxy, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: attempt(proxy, public), range(100)))
        assert answers.count(None) == 1
        assert answers.count(BODY) == 99
        assert [one.number for one in proxy.requests] == list(range(1, 101))
        assert proxy.requests[49].fault == "Reset"


def attempt(proxy: FaultProxy, bucket: Bucket) -> bytes | None:
    try:
        return read_raw(proxy, bucket)
    except ConnectionResetError:
        return None
