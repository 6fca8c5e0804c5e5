"""What all stores promise, whoever keeps them; see object_store.ObjectStore."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cloud_s3 import S3
from cloud_servers import Bucket
from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    StorageError,
    UsageError,
)
from pycytominer_transform.common.storage.cloud.cloud_location import CloudLocation
from pycytominer_transform.common.storage.cloud.object_store import (
    PART_BYTES,
    ObjectChangedError,
    ObjectStore,
    StoredObject,
    open_store,
)
from pycytominer_transform.common.storage.location import location_of
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.uri import cloud_uri

BODY = bytes(range(256)) * 300
KEYS = (
    "a b/c", "plus+", "per%20cent", "h#sh", "quest?on", "ünï/ço·de", "tick'quote\"", "amp&=;,", "dots...", "-dash",
    "[x]{y}*",
)  # fmt: skip


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    """Give a fresh bucket as the tools see it."""
    return open_store(cloud_uri(bucket.url), StorageOptions())


def at(store: ObjectStore, key: str) -> StoredObject:
    """Give an object that must exist."""
    stored = store.find(key)
    assert stored is not None
    return stored


def test_odd_names_are_listed_found_read_written_and_deleted(bucket: Bucket, store: ObjectStore) -> None:
    for key in KEYS:
        bucket.put(f"in/{key}", BODY)
    listed = {stored.key: stored for stored in store.list_below("in/")}
    assert sorted(listed) == sorted(f"in/{key}" for key in KEYS)
    for key, stored in listed.items():
        assert store.find(key) == stored
        assert stored.size == len(BODY)
        assert store.read(stored, 100, 1000) == BODY[100:1000]
        store.put(f"out/{key}", BODY, overwrite=False)
        assert bucket.get(f"out/{key}") == BODY
    store.delete([*listed, "in/was never there"])
    assert bucket.keys("in/") == []


@pytest.mark.parametrize("key", ["d//e", "./f", "g/../h", "/j"])
def test_names_that_obstore_cannot_read(
    key: str, moto_server: S3, no_cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in moto_server.environment.items():
        monkeypatch.setenv(name, text)
    bucket = moto_server.new_bucket()
    store = open_store(cloud_uri(bucket.url), StorageOptions())
    for each in ("i/", "j", key):
        bucket.put(each, BODY if each != "i/" else b"")
    with pytest.raises(StorageError, match="rename them, or name a deeper prefix"):
        store.list_below("")


def test_empty_objects_and_those_that_stand_for_folders(bucket: Bucket, store: ObjectStore) -> None:
    keys = ["plate/A01/Cells.csv", "plate/A01/empty.csv", "plate/A02/"]
    for key in keys:
        bucket.put(key, b"" if key != keys[0] else BODY)
    listed = [stored for stored in store.list_below("plate/") if not stored.key.endswith("/")]
    assert sorted(stored.key for stored in listed) == keys[:2]
    place = location_of(f"{bucket.url}/plate")
    assert isinstance(place, CloudLocation)
    assert sorted(place.objects) == ["A01/Cells.csv", "A01/empty.csv"]


@pytest.mark.endurance
def test_lists_of_several_pages(bucket: Bucket, store: ObjectStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: bucket.put(f"many/{number:04}", b"x"), range(1100)))
    bucket.put("many more/1", b"of another prefix")
    assert sorted(stored.key for stored in store.list_below("many/")) == [f"many/{number:04}" for number in range(1100)]


def test_what_is_not_there(bucket: Bucket, store: ObjectStore) -> None:
    assert store.find("nothing") is None
    assert list(store.list_below("nothing/")) == []
    elsewhere = open_store(cloud_uri(f"{bucket.server.scheme}://no-such-bucket-here"), StorageOptions())
    with pytest.raises(SourceNotFoundError, match="no-such-bucket-here"):
        list(elsewhere.list_below("x/"))


def test_every_range(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("body", BODY)
    stored = at(store, "body")
    for start, end in ((0, 1), (0, len(BODY)), (len(BODY) - 1, len(BODY)), (255, 257)):
        assert store.read(stored, start, end) == BODY[start:end]


def test_an_object_of_nothing(bucket: Bucket) -> None:
    bucket.put("empty", b"")
    place = location_of(f"{bucket.url}/empty")
    assert isinstance(place, CloudLocation)
    assert place.is_file()
    assert place.read_bytes() == b""
    with place.open() as file:
        assert file.read() == b""


@pytest.mark.parametrize("key", ["body", "quest?on#1"])
def test_an_object_that_is_another_one(key: str, bucket: Bucket, store: ObjectStore) -> None:
    bucket.put(key, BODY)
    stored = at(store, key)
    bucket.put(key, BODY[::-1])
    with pytest.raises(SourceChangedError, match="run pct-discover again"):
        store.read(stored, 0, 10)
    now = store.find(key)
    assert now is not None
    assert now.mark != stored.mark
    assert store.read(now, 0, 10) == BODY[::-1][:10]
    bucket.delete(key)
    with pytest.raises(SourceChangedError):
        store.read(now, 0, 10)


def test_a_mark_that_never_was(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("body", BODY)
    stored = replace(at(store, "body"), mark="123456789")
    with pytest.raises(SourceChangedError):
        store.read(stored, 0, 10)


def test_uploads_of_several_parts(bucket: Bucket, store: ObjectStore) -> None:
    parts = [bytes([number]) * PART_BYTES for number in range(2)] + [b"the rest"]

    def pieces() -> Iterator[bytes]:
        yield from parts
        assert bucket.keys() == []

    store.upload("large", pieces(), overwrite=False)
    assert bucket.get("large") == b"".join(parts)


def test_puts_of_nothing(bucket: Bucket, store: ObjectStore) -> None:
    store.put("nothing", b"", overwrite=False)
    assert bucket.get("nothing") == b""


def test_uploads_that_are_aborted(bucket: Bucket, store: ObjectStore) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * PART_BYTES
        raise StorageError("the disk is broken")

    with pytest.raises(StorageError, match="the disk is broken"):
        store.upload("never", pieces(), overwrite=False)
    assert bucket.keys() == []
    if bucket.server.scheme != "gs":
        assert bucket.open_uploads() == []


def test_puts_over_what_exists(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("out", b"theirs")
    with pytest.raises(ObjectChangedError):
        store.put("out", b"ours", overwrite=False)
    assert bucket.get("out") == b"theirs"
    store.put("out", b"ours", overwrite=True)
    assert bucket.get("out") == b"ours"


@pytest.mark.parametrize("size", [4, PART_BYTES + 1])
def test_outputs_over_what_came_to_exist(size: int, bucket: Bucket) -> None:
    place = location_of(f"{bucket.url}/out")

    def write(*, overwrite: bool) -> None:
        with place.complete_file(overwrite=overwrite) as file:
            file.write(b"o" * size)
            bucket.put("out", b"theirs")

    with pytest.raises(DestinationExistsError):
        write(overwrite=False)
    assert bucket.get("out") == b"theirs"
    write(overwrite=True)
    assert bucket.get("out") == b"o" * size


def test_many_threads_at_once(bucket: Bucket, store: ObjectStore) -> None:
    for number in range(8):
        bucket.put(f"t/{number}", bytes([number]) * 10_000)
    listed = list(store.list_below("t/"))
    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(lambda place: store.read(listed[place % 8], 0, 10_000), range(160)))
    assert all(content == bytes([place % 8]) * 10_000 for place, content in enumerate(read))


def test_places_read_as_files_do(bucket: Bucket) -> None:
    bucket.put("f/body", BODY)
    place = location_of(f"{bucket.url}/f") / "body"
    assert (place.name, place.stat().st_size) == ("body", len(BODY))
    with place.open() as file:
        assert file.read(10) == BODY[:10]
        file.seek(-5, 2)
        assert file.read() == BODY[-5:]
        file.seek(70_000)
        assert file.read(20) == BODY[70_000:70_020]


@pytest.mark.parametrize("text", ["s3://", "gs:///key", "ftp://host/file", "s3://me:secret@bucket/key"])
def test_uris_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        location_of(text)
    assert "secret" not in str(refused.value)


def test_options_that_a_provider_has_no_meaning_for(bucket: Bucket) -> None:
    if bucket.server.scheme != "s3":
        with pytest.raises(PctError, match="--profile"):
            open_store(cloud_uri(bucket.url), StorageOptions(profile="lab"))
