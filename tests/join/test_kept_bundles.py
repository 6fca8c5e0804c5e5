"""Bundles that stay in memory from the extract to the join: the same profiles, and nothing of them stays."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pyarrow as pa
import pytest
from converting import run
from plates import Plate, write_csv
from pycytominer_transform.common.errors import PctError
from pycytominer_transform.common.holding import Hold
from pycytominer_transform.common.kept_bundles import KEPT_BUNDLES
from pycytominer_transform.tools.extract import extract
from pycytominer_transform.tools.join import join


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    source = write_csv(Plate(folders=3, cells=20, features=6, missing=0.1), tmp_path / "plate")
    run("discover", source, "--part-size", "1", "-o", tmp_path / "manifest.arrow")
    return str(tmp_path / "manifest.arrow")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_profiles_are_those_of_a_bundle_that_was_written(manifest: str, tmp_path: Path) -> None:
    written, kept = str(tmp_path / "written"), str(tmp_path / "kept")
    assert extract(manifest=manifest, output=kept, hold="kept") == extract(manifest=manifest, output=written)
    assert not Path(kept).exists()
    joined = [join(bundle=place, output=f"{place}-profiles") for place in (written, kept)]
    assert joined[0] == joined[1]
    assert contents(Path(f"{kept}-profiles")) == contents(Path(f"{written}-profiles"))


@pytest.mark.parametrize(("hold", "waits"), [("lasting", True), ("passing", False)])
def test_only_what_lasts_waits_for_the_disk(
    hold: Hold, waits: bool, manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    extract(manifest=manifest, output=str(tmp_path / "bundle"), hold=hold)
    bundles = len(synced)
    join(bundle=str(tmp_path / "bundle"), output=str(tmp_path / "profiles"), hold=hold)
    assert (bundles > 0, len(synced) > bundles) == (waits, waits)


def test_a_bundle_is_taken_once(manifest: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    extract(manifest=manifest, output=kept, hold="kept")
    join(bundle=kept, output=str(tmp_path / "profiles"))
    with pytest.raises(PctError, match="kept"):
        join(bundle=kept, output=str(tmp_path / "again"))


def test_what_nobody_took_is_forgotten_where_it_is_said_to_be(manifest: str, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine" / "part-1", tmp_path / "other" / "part-1"
    for place in (mine, other):
        extract(manifest=manifest, output=str(place), hold="kept")
    KEPT_BUNDLES.forget(mine.parent)
    with pytest.raises(PctError, match="mine"):
        join(bundle=str(mine), output=str(tmp_path / "profiles"))
    assert join(bundle=str(other), output=str(tmp_path / "profiles")).parts == 3


def test_nothing_of_it_stays(manifest: str, tmp_path: Path) -> None:
    gc.collect()
    before = pa.total_allocated_bytes()
    extract(manifest=manifest, output=str(tmp_path / "kept"), hold="kept")
    join(bundle=str(tmp_path / "kept"), output=str(tmp_path / "profiles"))
    gc.collect()
    assert pa.total_allocated_bytes() == before
