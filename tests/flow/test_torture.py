"""Nothing gets its name before it is on the disk, which no kill of `make torture` could show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from durability import Durability
from plates import Plate, write_csv
from pycytominer_transform.tools import flow

PLATE = Plate(folders=3, cells=12, features=6)


@pytest.mark.prefect
@pytest.mark.parametrize("name", ["made.parquet", "made"])
@pytest.mark.parametrize("again", [False, True])
def test_what_gets_its_name_is_on_the_disk(
    name: str, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at any moment finds whole what has a final name: it was synced before, and its folder after."""
    plate = write_csv(PLATE, tmp_path / "plate")
    words = [str(plate), "-o", str(tmp_path / name), "--work-dir", str(tmp_path / "work"), "--part-size", "1"]
    words += ["--runner", "sequential", "--keep-work", "--overwrite"]
    if again:
        assert flow.main(words) == 0
        words += ["--cast", "Cells_.*=float32"]
    with Durability(tmp_path, monkeypatch) as durability:
        assert flow.main(words) == 0
    named = {path.name for path in durability.named}
    # For a folder, a finished part is its Parquet file.
    part = "part-{:06}.parquet" if name == "made" else "part-{:06}"
    assert {name, "manifest.arrow", part.format(1), part.format(3)} <= named
    assert durability.complaints() == []


@pytest.mark.parametrize("lost", ["file", "folder", "parent"])
def test_what_is_not_synced_is_noticed(lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    with Durability(tmp_path, monkeypatch) as durability:
        half = tmp_path / ".made.pct-tmp"
        half.mkdir()
        (half / "data").write_text("data")
        steps: dict[str, Any] = {"file": half / "data", "folder": half}
        for step, path in steps.items():
            if step != lost:
                sync(path)
        os.rename(half, tmp_path / "made")
        if lost != "parent":
            sync(tmp_path)
    complaints = durability.complaints()
    assert len(complaints) == 1
    assert str(half if lost != "parent" else tmp_path) in complaints[0]
