"""A finished part of which a bit has changed since is not taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest
from converting import parquet_table
from plates_sheets import small_tables, write_sheets
from pycytominer_transform.common.flow.resume import Finished, finished_part, finished_profiles
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.ipc.stream_reader import read_one
from pycytominer_transform.common.storage.location import LocalLocation
from pycytominer_transform.tools import discover, extract, join, write

FINGERPRINT = "abc"


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    source = write_sheets(tmp_path / "plate", small_tables())
    discover.discover(source=str(source), output=str(tmp_path / "m"))
    extract.extract(manifest=str(tmp_path / "m"), output=str(tmp_path / "bundle"))
    join.join(bundle=str(tmp_path / "bundle"), output=str(tmp_path / "profiles"))
    return tmp_path / "profiles"


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def finished(folder: Path) -> Finished | None:
    manifest = read_manifest(str(folder))
    return finished_profiles(folder, manifest, manifest.provenance)


def test_profiles(profiles: Path) -> None:
    assert finished(profiles)
    (file,) = profiles.glob("part-*.arrow")
    whole = file.read_bytes()
    with read_one(LocalLocation(file), "profiles") as stream:
        rows = stream.read_all()
    unnoticed = 0
    for place in range(len(whole) // 100, len(whole), len(whole) // 60):
        file.write_bytes(flipped(whole, place))
        if finished(profiles) is not None:
            # A bit of the footer, which repeats what stands before, or of the closing record's counts of other things.
            unnoticed += 1
            with read_one(LocalLocation(file), "profiles") as stream:
                assert stream.read_all().equals(rows), place
    assert unnoticed < 30
    file.write_bytes(whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[len(whole) // 3 * 2 :])
    assert finished(profiles) is None
    file.write_bytes(whole)
    assert finished(profiles)


def test_parquet(profiles: Path, tmp_path: Path) -> None:
    file = LocalLocation(tmp_path / "part.parquet")
    write.write(profiles=str(profiles), output=str(file), fingerprint=FINGERPRINT)
    assert finished_part(file, FINGERPRINT)
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    pages = len(whole) - footer
    rows = parquet_table(file)
    unnoticed = 0
    for place in range(8, pages, pages // 40):
        file.write_bytes(flipped(whole, place))
        if finished_part(file, FINGERPRINT) is not None:
            # A bit of a page's header that says nothing of its values.
            unnoticed += 1
            assert parquet_table(file).equals(rows), place
    assert unnoticed < 20
    file.write_bytes(whole[: pages // 3] + bytes(pages // 3) + whole[pages // 3 * 2 :])
    assert finished_part(file, FINGERPRINT) is None
