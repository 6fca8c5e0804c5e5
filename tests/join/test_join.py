"""pct-join drops nothing silently, refuses what would multiply cells, and joins what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table, run
from oracle import Choices, profiles
from oracle_report import expected_of_csv, recorded_by_well
from plates_sheets import SMALL, Tables, column_place, set_column, small_tables, write_sheets
from pycytominer_transform.common.ipc.manifest_files import read_manifest
from pycytominer_transform.tools import join

SPLIT = ("--part-size", "1")


def lossy() -> dict[str, Tables]:
    """Give three folders in which a known number of objects has no partner."""
    trees = small_tables(replace(SMALL, cells=10))
    for index, tables in enumerate(trees.values()):
        set_column(tables["Cytoplasm"], "Parent_Cells", ["0", "99"][: index + 1])
        if index == 2:
            set_column(tables["Cytoplasm"], "Parent_Nuclei", ["0", "1", "77"])
    return trees


def counted_by_hand(trees: dict[str, Tables]) -> dict[str, Any]:
    """Count with nothing but loops: rows per table, and for each partner the cytoplasms without it."""
    rows = {
        name.lower(): sum(len(tables[name]) - 1 for tables in trees.values()) for name in next(iter(trees.values()))
    }
    without = {"image": 0, "cells": 0, "nuclei": 0}
    used: dict[str, set[tuple[int, str]]] = {"cells": set(), "nuclei": set()}
    joined = 0
    for index, tables in enumerate(trees.values()):
        numbers = {
            name: {line[column_place(tables[name], "ObjectNumber")] for line in tables[name][1:]}
            for name in ("Cells", "Nuclei")
        }
        for line in tables["Cytoplasm"][1:]:
            wanted = {name: line[column_place(tables["Cytoplasm"], f"Parent_{name}")] for name in numbers}
            lacking = [name for name, number in wanted.items() if number not in numbers[name]]
            for name in lacking:
                without[name.lower()] += 1
            if not lacking:
                joined += 1
                for name, number in wanted.items():
                    used[name.lower()].add((index, number))
    unmatched = {name: rows[name] - len(found) for name, found in used.items()}
    unmatched |= {"cytoplasm": rows["cytoplasm"] - joined, "image": 0}
    incomplete = rows["cytoplasm"] - joined
    return {"rows": rows, "joined": joined, "incomplete": incomplete, "without": without, "unmatched": unmatched}


@pytest.mark.parametrize("size", ["1", "1GB"])
@pytest.mark.quick
def test_what_was_dropped_is_said_and_carried_and_stored(
    size: str, tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = lossy()
    counts = counted_by_hand(trees)
    source = write_sheets(tmp_path / "source", trees)
    run("discover", source, "-o", tmp_path / "m", "--part-size", size)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / "p")]) == 0
    said = capsys.readouterr().err
    dropped = counts["rows"]["cytoplasm"] - counts["joined"]
    assert dropped == 6
    assert f"{counts['joined']} cells" in said
    assert f"{dropped} objects dropped" in said
    for table in ("cells", "nuclei"):
        assert f"{counts['without'][table]} lacked {table}" in said
        assert f"{counts['unmatched'][table]} without a partner" in said
    carried = read_manifest(str(tmp_path / "p")).provenance[-1].counts
    stored = provenance(convert(source, options=Options(discover=("--part-size", size))))[-2]
    assert stored["tool"] == "pct-join"
    for found in (carried, stored["counts"]):
        assert found == {**counts, "dropped": dropped, **recorded_by_well(expected_of_csv(source))}


def provenance(path: Path) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads(parquet_table(path).schema.metadata[b"pct.provenance"])
    return steps


def test_what_is_kept_without_a_partner_has_nulls_and_is_said(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = lossy()
    counts = counted_by_hand(trees)
    table = parquet_table(
        convert(write_sheets(tmp_path / "source", trees), options=Options(join=("--unmatched", "keep")))
    )
    assert "objects kept with nulls" in capsys.readouterr().err
    assert table.num_rows == counts["rows"]["cytoplasm"]
    for compartment in ("Cells", "Nuclei"):
        numbers = table[f"{compartment}_Number_Object_Number"]
        assert numbers.null_count == counts["without"][compartment.lower()]


@pytest.mark.parametrize(("table", "key"), [("Nuclei", "object"), ("Cells", "object"), ("Image", "image")])
@pytest.mark.quick
def test_an_object_that_is_there_twice_is_refused(
    table: str, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables()
    tables = list(trees.values())[1]
    tables[table].append([*tables[table][1]])
    refused(trees, tmp_path)
    said = capsys.readouterr().err
    assert f"table {table.lower()} holds" in said
    assert "Metadata_ImageNumber 1" in said
    assert ("Metadata_ObjectNumber 1" in said) == (key == "object")


def test_a_row_of_the_anchor_that_is_there_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables()
    lines = next(iter(trees.values()))["Cytoplasm"]
    lines.append([*lines[1]])
    refused(trees, tmp_path)
    assert "table cytoplasm holds" in capsys.readouterr().err


def refused(trees: dict[str, Tables], folder: Path) -> None:
    run("discover", write_sheets(folder / "source", trees), "-o", folder / "m")
    run("extract", folder / "m", "-o", folder / "b")
    assert join.main([str(folder / "b"), "-o", str(folder / "p"), "-q"]) == 1
    assert not (folder / "p").exists()


@pytest.mark.parametrize("unmatched", ["drop", "keep"])
def test_a_source_without_image_tables_still_joins(tmp_path: Path, convert: Convert, unmatched: str) -> None:
    source = write_sheets(tmp_path / "source", lossy())
    choices = Choices(unmatched=unmatched, image_required=False, image_columns="nothing")  # type: ignore[arg-type]
    rows = profiles(source, choices=choices)
    for file in source.rglob("Image.csv"):
        file.unlink()
    options = Options(discover=("--path-metadata", "none"), join=("--unmatched", unmatched))
    table = parquet_table(convert(source, options=options))
    assert table.num_rows == len(rows) > 10
    assert table.drop_columns("Metadata_CellID").to_pylist() == [
        {name: value for name, value in row.items() if name != "Metadata_CellID"} for row in rows
    ]


def test_an_image_set_without_its_row_lacks_an_image(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables(replace(SMALL, images=2))
    del next(iter(trees.values()))["Image"][2]
    source = write_sheets(tmp_path / "source", trees)
    whole = sum(len(tables["Cytoplasm"]) - 1 for tables in trees.values())
    dropped = convert(source)
    lacking = provenance(dropped)[-2]["counts"]["without"]["image"]
    assert 0 < lacking == whole - parquet_table(dropped).num_rows
    kept = parquet_table(convert(source, options=Options(join=("--unmatched", "keep"))))
    assert (kept.num_rows, kept["Image_FileName_DNA"].null_count) == (whole, lacking)


def test_compartments_that_nothing_leads_to_are_refused_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small_tables()
    for tables in trees.values():
        tables["Spots"] = [[*line] for line in tables["Nuclei"]]
    source = write_sheets(tmp_path / "source", trees)
    run("discover", source, "-o", tmp_path / "m", "--compartments", "cytoplasm,spots")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / "p")]) == 2
    said = capsys.readouterr().err
    assert "'Parent_Spots' that leads to spots" in said
    assert "--compartments" in said
    assert "--sql" in said


def test_a_pattern_that_is_none_is_a_fault_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert join.main(["--image-columns", "(", "nowhere"]) == 2
    assert "'(' is not a regular expression" in capsys.readouterr().err


@pytest.mark.parametrize(("pattern", "added"), [("^Count_", 3), ("all", 20), ("Height_(DNA|ER)$", 2)])
def test_image_columns_are_chosen_by_pattern(tmp_path: Path, convert: Convert, pattern: str, added: int) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    usual = set(parquet_table(convert(source)).column_names)
    more = set(parquet_table(convert(source, options=Options(join=("--image-columns", pattern)))).column_names)
    assert usual <= more
    header = next(iter(small_tables().values()))["Image"][0]
    if pattern == "all":
        added = len(
            [name for name in header if not name.startswith(("FileName_", "Metadata_")) and name != "ImageNumber"]
        )
    assert len(more - usual) == added


def test_profiles_at_rest_are_plain_arrow_files_of_one_schema(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "source", lossy())
    run("discover", source, "-o", tmp_path / "m", *SPLIT)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p")
    files = sorted(path for path in (tmp_path / "p").iterdir() if path.name != "manifest.arrow")
    assert [path.name for path in files] == ["part-000001.arrow", "part-000002.arrow", "part-000003.arrow"]
    tables = [pa.ipc.open_file(path).read_all() for path in files]
    assert all(table.schema.equals(tables[0].schema) for table in tables)
    assert sum(table.num_rows for table in tables) == counted_by_hand(lossy())["joined"]


def test_incomplete_objects_are_counted_alike_whether_dropped_or_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Objects that lack a cell, and others that lack a nucleus, are as many as both together."""
    source = write_sheets(tmp_path / "source", lossy())
    run("discover", source, "-o", tmp_path / "m")
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    told = {}
    for unmatched in ("drop", "keep"):
        capsys.readouterr()
        assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / unmatched), "--unmatched", unmatched]) == 0
        told[unmatched] = capsys.readouterr().err
    dropped, kept = (told[way].splitlines()[-1] for way in ("drop", "keep"))
    assert dropped.replace(" dropped: ", ": ") == kept.replace(" kept with nulls: ", ": ")
    assert [line for line in told["drop"].splitlines() if "cytoplasm: " in line] == [
        line for line in told["keep"].splitlines() if "cytoplasm: " in line
    ]
