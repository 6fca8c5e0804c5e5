"""Log lines for programs carry the counts of each stage as fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from plates import Plate, write_csv
from running import json_lines, run

pytestmark = pytest.mark.quick
WORDS = ("--log-format", "json")


def test_counts_are_fields(tmp_path: Path) -> None:
    source = write_csv(Plate(folders=3, cells=4, features=2), tmp_path / "plate1")
    places = [source, *(tmp_path / name for name in ("m", "b", "p", "x.parquet"))]
    last = []
    for tool, before, after in zip(("discover", "extract", "join", "write"), places, places[1:], strict=False):
        lines = json_lines(run(tool, before, "-o", after, *WORDS).done().err)
        last.append(next(line for line in lines if len(line) > 4))
    discovered, extracted, joined, written = last
    assert (discovered["parts"], discovered["datasets"], discovered["files"], discovered["skipped"]) == (1, 3, 12, 0)
    assert set(extracted["rows"]) == {"image", "cells", "cytoplasm", "nuclei"}
    assert joined["rows"] == extracted["rows"]
    assert joined["joined"] + joined["dropped"] == extracted["rows"]["cytoplasm"]
    assert (written["rows"], written["files"]) == (joined["joined"], 1)
    assert written["bytes"] == (tmp_path / "x.parquet").stat().st_size
