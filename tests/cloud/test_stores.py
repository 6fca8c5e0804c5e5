"""What all stores promise, whoever keeps them; see object_store.ObjectStore."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cloud_s3 import S3
from cloud_servers import Bucket
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.cloud_uri import cloud_uri
from pycytominer_transform.common.errors import (
    DestinationExistsError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    UsageError,
)
from pycytominer_transform.common.object_store import ObjectStore, open_store
from pycytominer_transform.common.place import place_of
from pycytominer_transform.common.storage_options import StorageOptions

BODY = bytes(range(256)) * 300
KEYS = (
    "a b/c", "plus+", "per%20cent", "h#sh", "quest?on", "ünï/ço·de", "tick'quote\"", "amp&=;,", "dots...", "-dash",
    "[x]{y}*",
)  # fmt: skip


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    """Give a fresh bucket as the tools see it."""
    return open_store(cloud_uri(bucket.url), StorageOptions())


def test_odd_names_are_listed_found_read_written_and_deleted(bucket: Bucket, store: ObjectStore) -> None:
    for key in KEYS:
        bucket.put(f"in/{key}", BODY)
    listed = {stored.key: stored for stored in store.listed("in/")}
    assert sorted(listed) == sorted(f"in/{key}" for key in KEYS)
    for key, stored in listed.items():
        assert store.found(key) == stored
        assert stored.size == len(BODY)
        assert store.read(stored, 100, 1000) == BODY[100:1000]
        upload = store.begin_upload(f"out/{key}", overwrite=False)
        upload.put_part(1, BODY)
        upload.complete()
        assert bucket.get(f"out/{key}") == BODY
    store.delete([*listed, "in/was never there"])
    assert bucket.keys("in/") == []


def test_names_that_only_some_servers_keep(moto_server: S3, no_cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in moto_server.environment.items():
        monkeypatch.setenv(name, text)
    bucket = moto_server.new_bucket()
    store = open_store(cloud_uri(bucket.url), StorageOptions())
    keys = ["d//e", "./f", "g/../h", "i/", "/j"]
    for key in keys:
        bucket.put(key, BODY)
    listed = {stored.key: stored for stored in store.listed("")}
    assert sorted(listed) == sorted(keys)
    assert all(store.read(stored, 0, 5) == BODY[:5] for stored in listed.values())


def test_empty_objects_and_those_that_stand_for_folders(bucket: Bucket, store: ObjectStore) -> None:
    keys = ["plate/A01/Cells.csv", "plate/A01/empty.csv", "plate/A02/"]
    for key in keys:
        bucket.put(key, b"" if key != keys[0] else BODY)
    listed = [stored for stored in store.listed("plate/") if not stored.key.endswith("/")]
    assert sorted(stored.key for stored in listed) == keys[:2]
    place = place_of(f"{bucket.url}/plate")
    assert isinstance(place, CloudPlace)
    assert sorted(place.objects) == ["A01/Cells.csv", "A01/empty.csv"]


def test_lists_of_several_pages(bucket: Bucket, store: ObjectStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: bucket.put(f"many/{number:04}", b"x"), range(1100)))
    bucket.put("many more/1", b"of another prefix")
    assert sorted(stored.key for stored in store.listed("many/")) == [f"many/{number:04}" for number in range(1100)]


def test_what_is_not_there(bucket: Bucket, store: ObjectStore) -> None:
    assert store.found("nothing") is None
    assert list(store.listed("nothing/")) == []
    elsewhere = open_store(cloud_uri(f"{bucket.server.scheme}://no-such-bucket-here"), StorageOptions())
    with pytest.raises(SourceNotFoundError, match="no-such-bucket-here"):
        list(elsewhere.listed("x"))


def test_every_range(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("body", BODY)
    stored = next(store.listed("body"))
    for start, end in ((0, 1), (0, len(BODY)), (len(BODY) - 1, len(BODY)), (255, 257)):
        assert store.read(stored, start, end) == BODY[start:end]


def test_an_object_of_nothing(bucket: Bucket) -> None:
    bucket.put("empty", b"")
    place = place_of(f"{bucket.url}/empty")
    assert isinstance(place, CloudPlace)
    assert place.is_file()
    assert place.read_bytes() == b""
    with place.open() as file:
        assert file.read() == b""


def test_an_object_that_is_another_one(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("body", BODY)
    stored = next(store.listed("body"))
    bucket.put("body", BODY[::-1])
    with pytest.raises(SourceChangedError, match="run pct-discover again"):
        store.read(stored, 0, 10)
    now = store.found("body")
    assert now is not None
    assert now.mark != stored.mark
    assert store.read(now, 0, 10) == BODY[::-1][:10]
    bucket.delete("body")
    with pytest.raises(SourceChangedError):
        store.read(now, 0, 10)


def test_a_mark_that_never_was(bucket: Bucket, store: ObjectStore) -> None:
    bucket.put("body", BODY)
    stored = replace(next(store.listed("body")), mark="123456789")
    with pytest.raises(SourceChangedError):
        store.read(stored, 0, 10)


def test_uploads_of_several_parts_in_any_order(bucket: Bucket, store: ObjectStore) -> None:
    parts = [bytes([number]) * store.part_bytes for number in range(2)] + [b"the rest"]
    upload = store.begin_upload("large", overwrite=False)
    if store.parts_at_once > 1:
        for number in (3, 1, 2):
            upload.put_part(number, parts[number - 1])
    else:
        for number in (1, 2, 3):
            upload.put_part(number, parts[number - 1])
    assert bucket.keys() == []
    upload.complete()
    assert bucket.get("large") == b"".join(parts)


def test_uploads_of_nothing(bucket: Bucket, store: ObjectStore) -> None:
    upload = store.begin_upload("nothing", overwrite=False)
    upload.put_part(1, b"")
    upload.complete()
    assert bucket.get("nothing") == b""


def test_uploads_that_are_aborted(bucket: Bucket, store: ObjectStore) -> None:
    upload = store.begin_upload("never", overwrite=False)
    upload.put_part(1, b"x" * store.part_bytes)
    upload.abort()
    assert bucket.keys() == []


def test_uploads_over_what_came_to_exist(bucket: Bucket, store: ObjectStore) -> None:
    upload = store.begin_upload("out", overwrite=False)
    upload.put_part(1, b"ours")
    bucket.put("out", b"theirs")
    with pytest.raises(DestinationExistsError):
        upload.complete()
    assert bucket.get("out") == b"theirs"
    upload = store.begin_upload("out", overwrite=True)
    upload.put_part(1, b"ours")
    upload.complete()
    assert bucket.get("out") == b"ours"


def test_many_threads_at_once(bucket: Bucket, store: ObjectStore) -> None:
    for number in range(8):
        bucket.put(f"t/{number}", bytes([number]) * 10_000)
    listed = list(store.listed("t/"))
    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(lambda place: store.read(listed[place % 8], 0, 10_000), range(160)))
    assert all(content == bytes([place % 8]) * 10_000 for place, content in enumerate(read))


def test_places_read_as_files_do(bucket: Bucket) -> None:
    bucket.put("f/body", BODY)
    place = place_of(f"{bucket.url}/f") / "body"
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
        place_of(text)
    assert "secret" not in str(refused.value)


def test_options_that_a_provider_has_no_meaning_for(bucket: Bucket) -> None:
    if bucket.server.scheme != "s3":
        with pytest.raises(PctError, match="--profile"):
            open_store(cloud_uri(bucket.url), StorageOptions(profile="lab"))
