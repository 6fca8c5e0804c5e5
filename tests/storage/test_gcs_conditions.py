"""Conditions on generations, which the tests add to a server of Google's interface, are what Google says they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from cloud_gcs import GCS
from fault_proxy import FaultProxy
from gcs_conditions import conditions
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage.exceptions import InvalidResponse

CHUNK = 256 * 1024
NAME = "a/ b+ö%"


@pytest.fixture
def blobs(gcs_server: GCS) -> Iterator[Any]:
    """Give a bucket of Google's client, with one object."""
    with FaultProxy(gcs_server, conditions()) as proxy:
        bucket = proxy.through.client.bucket(proxy.through.new_bucket().name)
        bucket.blob(NAME).upload_from_string(b"old")
        yield bucket


@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_an_upload_replaces_what_it_may(blobs: Any, chunk: int | None) -> None:
    def upload(content: bytes, name: str = NAME, **condition: int) -> Any:
        blob = blobs.blob(name, chunk_size=chunk)
        blob.upload_from_file(BytesIO(content), retry=None, **condition)
        return blob

    first = upload(b"new" * CHUNK, "new", if_generation_match=0)
    for generation in (0, first.generation + 1):
        with pytest.raises(PreconditionFailed):
            upload(b"wrong" * CHUNK, "new", if_generation_match=generation)
    assert blobs.blob("new").download_as_bytes() == b"new" * CHUNK
    upload(b"newer", "new", if_generation_match=first.generation)
    assert blobs.blob("new").download_as_bytes() == b"newer"
    with pytest.raises(PreconditionFailed):
        upload(b"new" * CHUNK, if_generation_match=0)
    assert blobs.blob(NAME).download_as_bytes() == b"old"


def test_an_upload_that_was_overtaken_is_refused_at_its_end(blobs: Any) -> None:
    stream = blobs.blob("new").open("wb", chunk_size=CHUNK, if_generation_match=0, retry=None)
    stream.write(b"late" * CHUNK)
    blobs.blob("new").upload_from_string(b"earlier")
    with pytest.raises(InvalidResponse, match="412"):
        stream.close()
    assert blobs.blob("new").download_as_bytes() == b"earlier"


def test_one_generation_alone_is_read_copied_and_removed(blobs: Any) -> None:
    blob = blobs.blob(NAME)
    blob.reload()
    now = blob.generation
    asks: list[Callable[[int], object]] = [
        lambda generation: blob.download_as_bytes(if_generation_match=generation, retry=None),
        lambda generation: blob.reload(if_generation_match=generation, retry=None),
        lambda generation: blobs.blob(NAME).compose([blob], if_generation_match=generation, retry=None),
    ]
    for ask in asks:
        with pytest.raises(PreconditionFailed):
            ask(now + 1)
        ask(now)
    blob.reload()
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_match=now - 1, retry=None)
    blob.delete(if_generation_match=blob.generation, retry=None)
    with pytest.raises(NotFound):
        blob.download_as_bytes(retry=None)
