"""`pct-flow --dry-run` shows what would be done, refuses what would be refused, and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from plates import Plate, write_csv
from running import entries, run

pytestmark = pytest.mark.quick
PLATE = Plate(folders=14, cells=3, features=2)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(PLATE, tmp_path_factory.mktemp("dry") / "plate1")


def test_the_table_is_what_the_run_does(plate: Path, tmp_path: Path) -> None:
    words = (plate, "--part-size", "1", "--drop", "image", "--workers", "2")
    shown = run("flow", *words, "-o", tmp_path / "x.parquet", "--dry-run").done()
    assert entries(tmp_path) == set()
    told = shown.out.decode()
    assert [line.split()[0] for line in told.splitlines() if re.match(r"\d+ ", line)] == [str(n) for n in range(1, 11)]
    assert "and 4 more (-v)" in told
    assert "parts    14, 2 at once (concurrent)" in told
    whole = run("flow", *words, "-v", "-o", tmp_path / "x.parquet", "--dry-run").done().out.decode()
    assert [int(line.split()[0]) for line in whole.splitlines() if re.match(r"\d+ ", line)] == [*range(1, 15)]
    assert "more (-v)" not in whole
    columns = re.search(r"x\.parquet: (\d+) columns", told)
    manifest, bundle, profiles = (tmp_path / name for name in ("m", "b", "p"))
    run("discover", plate, "-q", "-o", manifest).done()
    run("extract", manifest, "-q", "-o", bundle).done()
    run("join", bundle, "-q", "-o", profiles).done()
    run("write", profiles, "--drop", "image", "-q", "-o", tmp_path / "x.parquet").done()
    assert columns
    assert len(pq.read_schema(tmp_path / "x.parquet")) == int(columns[1])


def test_it_refuses_what_the_run_would(plate: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.parquet"
    output.write_text("precious")
    leftover = tmp_path / ".x.parquet.1.pct-tmp"
    leftover.touch()
    run("flow", plate, "-o", output, "--dry-run").failed(1, "exists already", "--overwrite")
    run("flow", plate, "-o", output, "--dry-run", "--overwrite").done()
    run("flow", plate, "-o", tmp_path / "y", "--dry-run", "--cast", "Nothing=string").failed(2, "Nothing", alone=False)
    run("flow", tmp_path / "gone", "-o", tmp_path / "y", "--dry-run").failed(1, "gone")
    assert output.read_text() == "precious"
    assert entries(tmp_path) == {"x.parquet", leftover.name}
