"""Row ranges of SQLite parts hold each row once, and reading a part touches no other part's rows."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from converting import Convert, Options, parquet_table, run
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import compare, profiles
from plates import Plate
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.common.discover.source import discover_manifest
from pycytominer_transform.common.formats.sqlite.reader import from_clause
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.manifest import Manifest
from pycytominer_transform.tools import extract
from sqlite_pages import leaves, rows_of_table, spoil

PLATE = Plate(folders=4, cells=60, features=12, images=3, missing=0.1)
TABLES = ("image", "cells", "cytoplasm", "nuclei")

Numbered = list[tuple[int, int, int]]
"""Rowid, table number and image number of the rows of a table."""


@st.composite
def interleavings(draw: st.DrawFn) -> Numbered:
    """Draw the rows of a table: any image set in any row, gaps between row numbers, some of them far away."""
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7, 1 << 33]), min_size=1, max_size=30))
    rowid = draw(st.sampled_from([-5, 0, 1]))
    rows: Numbered = []
    for gap in gaps:
        rowid += gap
        rows.append((rowid, draw(st.integers(1, 2)), draw(st.integers(1, 4))))
    return rows


def store(path: Path, rows: dict[str, Numbered]) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for name, numbered in rows.items():
            own = "" if name == "image" else f"ObjectNumber BIGINT, {name}_Parent_Cells BIGINT,"
            own += f"{name}_Parent_Nuclei BIGINT, " if name == "cytoplasm" else ""
            connection.execute(f"CREATE TABLE {name} ({own} TableNumber BIGINT, ImageNumber BIGINT)")
            connection.executemany(f"INSERT INTO {name} (rowid, TableNumber, ImageNumber) VALUES (?, ?, ?)", numbered)
    connection.close()


@given(
    image=interleavings(), cells=interleavings(), nuclei=interleavings(), size=st.sampled_from([1, 300, 2000, 10**9])
)
@settings(max_examples=examples(120))
def test_each_row_is_in_one_range_of_one_part_and_with_its_image_set(
    image: Numbered, cells: Numbered, nuclei: Numbered, size: int
) -> None:
    stored = {"image": image, "cells": cells, "cytoplasm": nuclei[::-1][:7], "nuclei": nuclei}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plate.sqlite"
        store(path, stored)
        manifest, *_ = discover_manifest(str(path), DiscoverOptions(preset="cytominer_database", part_size=size))
    part_of: dict[tuple[int, int], int] = {}
    for table, rows in stored.items():
        covered: Counter[int] = Counter()
        for source in manifest.sources:
            if source.table != table:
                continue
            held = [row for row in rows if any(first <= row[0] <= last for first, last in source.row_ranges)]
            covered.update(rowid for rowid, _, _ in held)
            assert source.rows == len(held)
            assert all(a[1] < b[0] for a, b in pairwise(source.row_ranges))
            for _, number, image_number in held:
                assert part_of.setdefault((number, image_number), source.part) == source.part
        assert covered == Counter(rowid for rowid, _, _ in rows)
    order = sorted(part_of, key=lambda image_set: (part_of[image_set], image_set))
    assert order == sorted(part_of), "the parts are not in the order of the image sets"
    assert manifest.parts_total == (1 if size == 10**9 else max(part_of.values()))


@pytest.mark.parametrize("order", ["image", "interleaved", "shuffled"])
def test_sqlite_searches_every_range_by_row_number(tmp_path: Path, order: str) -> None:
    path, manifest = plate_in_parts(tmp_path, order, index=False)
    connection = sqlite3.connect(path)
    for source in manifest.sources:
        rows = from_clause(source.sqlite_table, "t.rowid", source.row_ranges)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN SELECT * {rows}")]
        assert any("SEARCH t USING INTEGER PRIMARY KEY" in step for step in plan), plan
        assert not any("SCAN t" in step for step in plan), plan
    connection.close()


def plate_in_parts(folder: Path, order: str, *, index: bool, images: int = 3) -> tuple[Path, Manifest]:
    style = SqliteStyle("cytominer_database", order=order, index=index)  # type: ignore[arg-type]
    path = write_sqlite(replace(PLATE, images=images), folder / "plate.sqlite", style)
    run("discover", path, "-o", folder / "m", "--part-size", "1")
    manifest = read_manifest(str(folder / "m"))
    assert manifest.parts_total == 4 * images
    return path, manifest


def damage_all_but(path: Path, manifest: Manifest, part: int) -> int:
    """Overwrite the pages that hold no row of a part, keep the file's times, and say how many they were."""
    kept = {source.sqlite_table: source.row_ranges for source in manifest.sources_of(part)}
    status = path.stat()
    spoiled = [
        leaf.page
        for table, ranges in kept.items()
        for leaf in leaves(path, table)
        if not any(first <= leaf.last and leaf.first <= last for first, last in ranges)
    ]
    spoil(path, spoiled)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return len(spoiled)


def test_a_part_is_read_although_all_other_parts_rows_are_destroyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The strongest proof that reading a part costs time in proportion to the part: nothing else is even looked at."""
    path, manifest = plate_in_parts(tmp_path, "image", index=False)
    run("extract", tmp_path / "m", "-o", tmp_path / "whole")
    assert damage_all_but(path, manifest, 5) > 20
    run("extract", tmp_path / "m", "-o", tmp_path / "alone", "--shard", "5/12")
    for table in TABLES:
        name = f"part-000005/{table}.arrow"
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "other"), "--shard", "6/12"]) == 1
    assert "damaged" in capsys.readouterr().err


def test_the_walk_through_the_pages_finds_all_rows(tmp_path: Path) -> None:
    path, _ = plate_in_parts(tmp_path, "image", index=True)
    for table in ("Cells", "Nuclei"):
        found = list(leaves(path, table))
        assert len(found) > 5
        assert all(a.last < b.first for a, b in pairwise(found))
        rowids = rows_of_table(path, table)
        assert (found[0].first <= rowids[0], rowids[-1] <= found[-1].last) == (True, True)


@pytest.mark.parametrize("change", ["view", "without rowid"])
def test_a_table_without_row_numbers_is_one_part(tmp_path: Path, convert: Convert, change: str) -> None:
    path = write_sqlite(replace(PLATE, cells=5), tmp_path / "plate.sqlite", SqliteStyle("cytominer_database"))
    expected = profiles(path, "cytominer_database")
    connection = sqlite3.connect(path)
    with connection:
        if change == "view":
            connection.execute("ALTER TABLE Nuclei RENAME TO Kept")
            connection.execute("CREATE VIEW Nuclei AS SELECT * FROM Kept")
        else:
            declared = ", ".join(f'"{row[1]}" {row[2]}' for row in connection.execute("PRAGMA table_info(Nuclei)"))
            keys = "TableNumber, ImageNumber, ObjectNumber"
            connection.execute(f"CREATE TABLE Other ({declared}, PRIMARY KEY ({keys})) WITHOUT ROWID")
            connection.execute("INSERT INTO Other SELECT * FROM Nuclei")
            connection.execute("DROP TABLE Nuclei")
            connection.execute("ALTER TABLE Other RENAME TO Nuclei")
    connection.close()
    run("discover", path, "-o", tmp_path / "m", "--part-size", "1")
    assert read_manifest(str(tmp_path / "m")).parts_total == 1
    assert compare(expected, convert(path, options=Options(discover=("--part-size", "1")))) == []


@pytest.mark.parametrize(("order", "cells"), [("interleaved", 300), ("shuffled", 300)])
def test_a_part_of_more_ranges_than_one_query_takes(tmp_path: Path, convert: Convert, order: str, cells: int) -> None:
    plate = Plate(folders=2, cells=2 * cells, features=1, images=1, missing=0.0)
    style = SqliteStyle("cytominer_database", order=order)  # type: ignore[arg-type]
    path = write_sqlite(plate, tmp_path / "plate.sqlite", style)
    run("discover", path, "-o", tmp_path / "m", "--part-size", "1")
    most = max(len(source.row_ranges) for source in read_manifest(str(tmp_path / "m")).sources)
    rows = profiles(path, "cytominer_database")
    assert most > 400 if order == "interleaved" else most > 100
    assert compare(rows, convert(path, options=Options(discover=("--part-size", "1")))) == []
    assert parquet_table(convert(path)).num_rows == len(rows)
