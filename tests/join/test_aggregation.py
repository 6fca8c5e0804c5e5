"""Of several children of an object one row is made: how many there are, and the means of what was measured."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, differences, parquet_table, run
from examples import examples
from figures import Figures
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle_relations import add_children, expected_mean, siblings_by_hand
from plates_sheets import SMALL, Tables, column_place, set_column, small_tables, write_sheets, write_sqlite_sheets
from plates_sqlite import SqliteStyle
from pycytominer_transform.tools import join

LOSSY = replace(SMALL, cells=12, missing=0.25)
TAKEN = ("--compartments", "cells,cytoplasm,nuclei,ph3")
MEASURED = ("Location_Center_X", "AreaShape_Area")


def trees_with_children() -> dict[str, Tables]:
    """Give folders whose nuclei have none to four children, the first folder's none at all."""
    trees = small_tables(LOSSY)
    for at, tables in enumerate(trees.values()):
        add_children(tables, "PH3", "Nuclei", [0, 2, 1, 4] if at else [1])
        if not at:
            del tables["PH3"][1:]
    return trees


def assert_aggregated(table: pa.Table, trees: dict[str, Tables], how: str) -> None:
    """Hold every row against its nucleus's children, bit by bit."""
    children = siblings_by_hand(trees, "PH3", "Nuclei")
    checked = 0
    for row in table.to_pylist():
        key = (row["Metadata_Dataset"], str(row["Metadata_ImageNumber"]), str(row["Metadata_Cytoplasm_Parent_Nuclei"]))
        assert row["PH3_Count"] == len(children[key])
        for column in MEASURED if how == "mean" else ():
            assert row[f"PH3_Mean_{column}"] == expected_mean(children[key], column)
            checked += row[f"PH3_Mean_{column}"] is not None
    assert how == "count" or checked > 10


@pytest.mark.parametrize("how", ["mean", "count"])
def test_one_row_is_made_of_all_children_in_every_way(how: str, tmp_path: Path, convert: Convert) -> None:
    trees = trees_with_children()
    source = write_sheets(tmp_path / "source", trees)
    made = convert(source, options=Options(discover=TAKEN, join=("--aggregate-children", how)))
    table = parquet_table(made)
    assert_aggregated(table, trees, how)
    added = [f"PH3_Mean_{column}" for column in MEASURED] if how == "mean" else []
    assert [name for name in table.column_names if "PH3" in name] == ["PH3_Count", *added]
    assert table.schema.field("PH3_Count").type == pa.int64()
    in_parts = Options(discover=(*TAKEN, "--part-size", "1"), join=("--aggregate-children", how, "--threads", "2"))
    for way in ("streams", "concurrent"):
        assert differences(made, convert(source, way, replace(in_parts, join=in_parts.join[:2]))) == []
    assert differences(made, convert(source, options=in_parts)) == []


def test_rows_are_those_without_the_children(tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", trees_with_children())
    without = parquet_table(convert(source))
    table = parquet_table(convert(source, options=Options(discover=TAKEN, join=("--aggregate-children", "mean"))))
    assert table.select(without.column_names).equals(without)


def test_children_of_sqlite_tables(tmp_path: Path, convert: Convert) -> None:
    tables = next(iter(small_tables(replace(LOSSY, folders=1, images=3)).values()))
    add_children(tables, "PH3", "Nuclei", [0, 2, 1, 4])
    header = tables["PH3"][0]
    header[1] = "Number_Object_Number"
    file = write_sqlite_sheets(tmp_path / "plate.sqlite", tables, SqliteStyle())
    header[1] = "ObjectNumber"
    options = Options(discover=(*TAKEN, "--part-size", "1"), join=("--aggregate-children", "mean"))
    table = parquet_table(convert(file, options=options))
    children = siblings_by_hand({"": tables}, "PH3", "Nuclei")
    for row in table.to_pylist():
        found = children["", str(row["Metadata_ImageNumber"]), str(row["Cytoplasm_Parent_Nuclei"])]
        assert row["PH3_Count"] == len(found)
        assert row["PH3_Mean_AreaShape_Area"] == expected_mean(found, "AreaShape_Area")
    assert table.num_rows > 10
    assert [name for name in table.column_names if name.startswith("PH3")] == [
        "PH3_Count", *(f"PH3_Mean_{column}" for column in MEASURED)
    ]  # fmt: skip


@pytest.mark.quick
def test_children_are_counted_and_recorded(tmp_path: Path, convert: Convert) -> None:
    trees = trees_with_children()
    source = write_sheets(tmp_path / "source", trees)
    table = parquet_table(convert(source, options=Options(discover=TAKEN, join=("--aggregate-children", "count"))))
    (step,) = (s for s in json.loads(table.schema.metadata[b"pct.provenance"]) if s["tool"] == "pct-join")
    assert step["options"]["aggregate_children"] == "count"
    rows = sum(len(tables["PH3"]) - 1 for tables in trees.values())
    nuclei = {(row["Metadata_Dataset"], row["Metadata_Cytoplasm_Parent_Nuclei"]) for row in table.to_pylist()}
    children = siblings_by_hand(trees, "PH3", "Nuclei")
    used = sum(len(found) for (path, _, number), found in children.items() if (path, int(number)) in nuclei)
    assert step["counts"]["rows"]["ph3"] == rows
    assert step["counts"]["unmatched"]["ph3"] == rows - used > 2
    assert "ph3" not in step["counts"]["without"]


def test_where_the_parent_is_missing_nothing_is_known_of_children(tmp_path: Path, convert: Convert) -> None:
    trees = trees_with_children()
    for tables in trees.values():
        set_column(tables["Cytoplasm"], "Parent_Nuclei", ["0"])
    source = write_sheets(tmp_path / "source", trees)
    words = ("--aggregate-children", "mean", "--unmatched", "keep")
    table = parquet_table(convert(source, options=Options(discover=TAKEN, join=words)))
    unknown = [row["PH3_Count"] is None for row in table.to_pylist()]
    assert unknown == [row["Nuclei_Number_Object_Number"] is None for row in table.to_pylist()]
    assert 2 < sum(unknown) < len(unknown)


def test_children_that_are_alone_are_aggregated_all_the_same(tmp_path: Path, convert: Convert) -> None:
    """So the columns do not depend on how many there happen to be."""
    source = write_sheets(tmp_path / "source", small_tables(SMALL))
    options = Options(discover=("--anchor", "cells"), join=("--aggregate-children", "mean"))
    table = parquet_table(convert(source, options=options))
    assert table["Cytoplasm_Count"].to_pylist() == [1] * table.num_rows
    names = [name for name in table.column_names if name.startswith("Cytoplasm_")]
    assert all(name == "Cytoplasm_Count" or name.startswith("Cytoplasm_Mean_") for name in names)
    alone = parquet_table(convert(source, options=Options(discover=("--anchor", "cells"))))
    for name in names[1:]:
        assert table[name].to_pylist() == [
            None if value is None else float(value)
            for value in alone[name.replace("_Mean_", "_")].to_pylist()
        ]  # fmt: skip
    assert not any("Parent" in name or "Object_Number" in name for name in names)


def test_means_of_32_bit_floats_are_such(tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", trees_with_children())
    options = Options(discover=TAKEN, extract=("--float32",), join=("--aggregate-children", "mean"))
    table = parquet_table(convert(source, options=options))
    assert table.schema.field("PH3_Mean_AreaShape_Area").type == pa.float32()
    assert table["PH3_Mean_AreaShape_Area"].null_count < table.num_rows


def test_values_that_have_no_mean(tmp_path: Path, convert: Convert) -> None:
    tables = next(iter(small_tables(replace(SMALL, folders=1)).values()))
    add_children(tables, "PH3", "Nuclei", [2])
    set_column(tables["PH3"], "AreaShape_Area", ["inf", "-inf", "inf", "1", "nan", "", "", "7"])
    source = write_sheets(tmp_path / "source", {"f": tables})
    options = Options(discover=TAKEN, join=("--aggregate-children", "mean"))
    means = parquet_table(convert(source, options=options))["PH3_Mean_AreaShape_Area"].to_pylist()
    assert means[:4] == [None, float("inf"), None, 7.0]


def refusal(source: Path, folder: Path, capsys: pytest.CaptureFixture[str], taken: Sequence[str], *words: str) -> str:
    run("discover", source, "-o", folder / "m", *taken)
    run("extract", folder / "m", "-o", folder / "b")
    capsys.readouterr()
    assert join.main([str(folder / "b"), "-o", str(folder / "p"), *words]) == 2
    return capsys.readouterr().err


def test_nothing_to_aggregate_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    said = refusal(source, tmp_path, capsys, (), "--aggregate-children", "mean")
    assert "--aggregate-children has nothing to do: cytoplasm leads to all other tables" in said


def test_names_that_would_clash_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = trees_with_children()
    for tables in trees.values():
        tables["Ph"] = [[*line] for line in tables["Nuclei"]]
        tables["Ph"][0][column_place(tables["Ph"], "Location_Center_X")] = "Ph3_Count"
        tables["Ph3"] = tables.pop("PH3")
        for line in tables["Cytoplasm"]:
            line.append("Parent_Ph" if line is tables["Cytoplasm"][0] else "1")
    source = write_sheets(tmp_path / "source", trees)
    taken = ("--compartments", "cytoplasm,nuclei,ph,ph3")
    said = refusal(source, tmp_path, capsys, taken, "--aggregate-children", "count")
    assert "'Ph3_Count', as one of ph is named already" in said


def test_a_query_of_ones_own_aggregates_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "query.sql").write_text("SELECT 1 AS one")
    assert join.main(["nowhere", "--sql", str(tmp_path / "query.sql"), "--aggregate-children", "mean"]) == 2
    assert "--aggregate-children goes with the preset's join" in capsys.readouterr().err


def test_real_children(
    shared_data: Path, figures: Figures, tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "ExampleHuman"
    with (source / "PH3.csv").open(newline="") as file:
        children = list(csv.DictReader(file))
    of_nucleus: dict[int, list[dict[str, str]]] = {}
    for row in children:
        of_nucleus.setdefault(int(row["Parent_Nuclei"]), []).append(row)
    several = min(number for number, found in of_nucleus.items() if len(found) > 1)
    run("discover", source, "-o", tmp_path / "m", *TAKEN)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / "p")]) == 1
    assert f"object Metadata_ObjectNumber {several})" in capsys.readouterr().err
    table = parquet_table(convert(source, options=Options(discover=TAKEN, join=("--aggregate-children", "mean"))))
    assert table.num_rows == figures.example_human[0]
    for out in table.to_pylist():
        found = of_nucleus.get(out["Metadata_Cytoplasm_Parent_Nuclei"], [])
        assert out["PH3_Count"] == len(found)
        for column in ("Location_Center_X", "Location_Center_Y", "Location_Center_Z"):
            assert out[f"PH3_Mean_{column}"] == expected_mean(found, column)
    assert sum(table["PH3_Count"].to_pylist()) == len(children) == figures.children


VALUES = st.one_of(st.just("nan"), st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr))
CHILDREN = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 7), VALUES), max_size=25)


@settings(max_examples=examples(30))
@given(children=CHILDREN, nuclei=st.lists(st.integers(0, 5), min_size=3, max_size=3), threads=st.integers(1, 3))
@example(children=[], nuclei=[0, 0, 0], threads=1)
@example(children=[(1, 1, "1e30"), (1, 2, "5.0"), (1, 1, "1.0"), (1, 1, "-1e30")], nuclei=[1, 2, 0], threads=2)
def test_any_children_of_any_parents(children: list[tuple[int, int, str]], nuclei: list[int], threads: int) -> None:
    """Rows are the anchor's, the counts add up, and the means are those of the loops, bit by bit."""
    parents = [(image, number) for image, count in enumerate(nuclei, start=1) for number in range(1, count + 1)]
    tables: Tables = {
        "Image": [["ImageNumber"], *([str(image)] for image in (1, 2, 3))],
        "Nuclei": [["ImageNumber", "ObjectNumber", "A"], *([str(i), str(n), "1.5"] for i, n in parents)],
        "Foci": [
            ["ImageNumber", "ObjectNumber", "AreaShape_Area", "Parent_Nuclei"],
            *([str(i), str(at), value, str(n)] for at, (i, n, value) in enumerate(children, start=1)),
        ],
    }
    with TemporaryDirectory() as place:
        folder = Path(place)
        run("discover", write_sheets(folder / "s", {"f": tables}), "-o", folder / "m", "--compartments", "nuclei,foci")
        run("extract", folder / "m", "-o", folder / "b")
        words = [str(folder / "b"), "-o", str(folder / "p"), "-q", "--threads", str(threads)]
        several = len({child[:2] for child in children if child[:2] in parents})
        matched = [child for child in children if child[:2] in parents]
        assert join.main(words) == (0 if len(matched) == several else 1)
        assert join.main([*words, "--aggregate-children", "mean", "--overwrite"]) == 0
        with pa.ipc.open_file(folder / "p" / "part-000001.arrow") as file:
            rows: list[dict[str, Any]] = file.read_all().to_pylist()
        with pa.ipc.open_file(folder / "p" / "manifest.arrow") as file:
            counts = json.loads(file.schema.metadata[b"pct.manifest"])["provenance"][-1]["counts"]
    assert [(row["Metadata_ImageNumber"], row["Metadata_ObjectNumber"]) for row in rows] == parents
    assert counts["rows"]["foci"] - counts["unmatched"]["foci"] == sum(row["Foci_Count"] for row in rows)
    assert sum(row["Foci_Count"] for row in rows) == len(matched)
    expected = siblings_by_hand({"f": tables}, "Foci", "Nuclei")
    for row, found in zip(rows, expected.values(), strict=True):
        assert row["Foci_Mean_AreaShape_Area"] == expected_mean(found, "AreaShape_Area")
