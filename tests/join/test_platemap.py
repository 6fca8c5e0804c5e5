"""A platemap's columns stand beside the cells of their wells alone; what has no counterpart is counted and said."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest
from converting import Convert, Options, differences, parquet_table, run
from hypothesis import given
from hypothesis import strategies as st
from plates_sheets import SMALL, Tables, set_column, small_tables, write_sheets
from pycytominer_transform.common.errors import DataError, PctError
from pycytominer_transform.common.join.planned_join import JoinedPart, PlannedJoin
from pycytominer_transform.common.join.platemap_entries import Platemap, PlatemapKey, read_platemap
from pycytominer_transform.common.join.platemap_join import PlatemapJoin
from pycytominer_transform.common.model.naming import profile_order
from pycytominer_transform.tools import flow, join

SPLIT = ("--part-size", "1", "--path-metadata", "none")
# As the Cell Painting Gallery has them: tabs, and a name that ends in .txt.
GALLERY = """well_position\tbroad_sample\tmg_per_ml\tsolvent\tbatch\tplate_number
a1\tBRD-K1\t5.5\tDMSO\t0012\t12
A02\t\t3\tDMSO\t13\t13
P24\tBRD-K3\t3.25\tNA\t14\t
"""
ADDED = {
    "Metadata_broad_sample": pa.string(), "Metadata_mg_per_ml": pa.float64(), "Metadata_solvent": pa.string(),
    "Metadata_batch": pa.string(), "Metadata_plate_number": pa.int64(),
}  # fmt: skip


def wells_plate(wells: Sequence[str] = ("A01", "A2", "B01", "")) -> dict[str, Tables]:
    """Give one folder per well; the last has none."""
    trees = small_tables(replace(SMALL, folders=len(wells), sites=1, cells=5))
    for well, tables in zip(wells, trees.values(), strict=True):
        set_column(tables["Image"], "Metadata_Well", [well])
    # Paths that say nothing of wells.
    return {f"folder{number}": tables for number, tables in enumerate(trees.values())}


def same_well(text: str) -> str:
    """Write a well as a person would compare it."""
    return f"{text[:1].upper()}{int(text[1:])}" if text[1:].isdigit() else text


def typed(text: str, kind: pa.DataType) -> Any:
    if text == "":
        return None
    return text if kind == pa.string() else int(text) if kind == pa.int64() else float(text)


def by_hand(profiles: pa.Table, text: str, delimiter: str = "\t") -> list[dict[str, Any]]:
    """Look each cell's well up by the standard library alone."""
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    entries = {same_well(row["well_position"]): row for row in rows}
    absent = {name: "" for name in rows[0]}
    return [
        {
            name: typed(entries.get(same_well(well or ""), absent)[name.removeprefix("Metadata_")], kind)
            for name, kind in ADDED.items()
        }
        for well in profiles["Metadata_Well"].to_pylist()
    ]


def counts_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    steps = json.loads(parquet_table(path).schema.metadata[b"pct.provenance"])
    step = next(step for step in steps if step["tool"] == "pct-join")
    return step["counts"]["platemap"], step["options"]


def bundled(folder: Path, trees: dict[str, Tables], size: str = "1") -> Path:
    run("discover", write_sheets(folder / "source", trees), "-o", folder / "m", "--part-size", size)
    run("extract", folder / "m", "-o", folder / "b")
    return folder / "b"


@pytest.mark.parametrize("how", ["files", "streams", "concurrent", pytest.param("dask", marks=pytest.mark.endurance)])
def test_every_cell_has_what_its_well_has_and_all_counts_add_up(how: str, tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", wells_plate())
    platemap = tmp_path / "platemap.txt"
    platemap.write_text(GALLERY)
    words = ("--platemap", str(platemap), "--platemap-on", "well_position=Metadata_Well")
    made = convert(source, how, Options(discover=SPLIT, join=words))
    table, plain = parquet_table(made), parquet_table(convert(source, options=Options(discover=SPLIT)))
    assert {name: table.schema.field(name).type for name in ADDED} == ADDED
    assert table.column_names == profile_order([*plain.column_names, *ADDED])
    assert table.select(plain.column_names).replace_schema_metadata(None).equals(plain.replace_schema_metadata(None))
    assert table.select(list(ADDED)).to_pylist() == by_hand(plain, GALLERY)
    cells = Counter(plain["Metadata_Well"].to_pylist())
    counts, options = counts_of(made)
    assert counts == {
        "cells": {"A01": cells["A01"], "A02": cells["A2"]}, "without_entry": {"B01": cells["B01"]},
        "without_well": cells[""] + cells[None],
    }  # fmt: skip
    assert counts["without_well"] > 0
    assert options["platemap_on"] == ["well_position=Metadata_Well"]
    assert options["platemap_entries"] == 3


@pytest.mark.parametrize("tool", ["join", "flow"])
def test_what_has_no_counterpart_is_said_once_for_all_parts(
    tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundled(tmp_path, wells_plate(("A01", "A01", "B01", "B02")))
    (tmp_path / "p.csv").write_text("Well,drug\r\nA1,x\r\nc3,y\r\nC04,z\r\n")
    words = ["--platemap", str(tmp_path / "p.csv")]
    capsys.readouterr()
    if tool == "join":
        assert join.main([str(bundle), "-o", str(tmp_path / "p"), *words]) == 0
    else:
        assert flow.main([str(tmp_path / "source"), "-o", str(tmp_path / "o.parquet"), *SPLIT, *words]) == 0
    said = capsys.readouterr().err
    assert f"pct-{tool}: platemap: 1 well with cells, entries without a well: 2 (C03, C04)\n" in said
    assert f"pct-{tool}: warning: platemap: 2 wells, " in said
    assert " without an entry: B01, B02\n" in said
    assert said.count("platemap: ") == 2


@pytest.mark.quick
def test_several_keys_find_the_entry_of_their_plate(tmp_path: Path, convert: Convert) -> None:
    trees = wells_plate(("A01", "A02", "A01"))
    for plate, tables in zip(("12", "12", "3"), trees.values(), strict=True):
        set_column(tables["Image"], "Metadata_Plate", [plate])
    source = write_sheets(tmp_path / "source", trees)
    (tmp_path / "p.csv").write_text("﻿PLATE;Metadata_well;drug\n12;a1;x\n3;A01;y\n012;A02;z\n", encoding="utf-8")
    words = ("--platemap", str(tmp_path / "p.csv"), "--platemap-on", "plate,well")
    made = convert(source, options=Options(join=words))
    table = parquet_table(made)
    assert table.schema.field("Metadata_Plate").type == pa.int64()
    names = ("Metadata_Plate", "Metadata_Well", "Metadata_drug")
    assert set(zip(*(table[name].to_pylist() for name in names), strict=True)) == {
        (12, "A01", "x"), (12, "A02", None), (3, "A01", "y"),
    }  # fmt: skip
    counts, _ = counts_of(made)
    assert set(counts["cells"]) == {"12/A01", "3/A01"}
    assert set(counts["without_entry"]) == {"12/A02"}


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (None, (), "cannot read the platemap p.csv: No such file"),
        ("well_position,drug\nA01,x\n", (), "no column 'well'; it has well_position, drug; "),
        ("well,drug\nA01,x\n", ("--platemap-on", "well=Nowhere"), "the profiles have no column 'Nowhere'"),
        ("well,drug\nA01,x\n", ("--platemap-on", "well=Image_Height_DNA"), "--image-columns '^Image_Height_DNA$'"),
        ("well,plate\nA01,x\n", (), "Metadata_plate would be a column that the profiles have already"),
        ("well,Metadata_Site\nA01,x\n", (), "Metadata_Site would be a column that the profiles have already"),
    ],
)
def test_what_does_not_fit_the_profiles_is_a_fault_of_the_command_line(
    text: str | None, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    bundled(tmp_path, wells_plate(("A01",)))
    if text is not None:
        (tmp_path / "p.csv").write_text(text)
    capsys.readouterr()
    assert join.main(["b", "-o", "p", "--platemap", "p.csv", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "p").exists()
    assert flow.main(["source", "-o", "o.parquet", "--platemap", "p.csv", *words, "--quiet"]) == 2
    assert said in capsys.readouterr().err


def test_a_key_without_a_platemap_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert join.main(["nowhere", "-o", "nowhere", "--platemap-on", "well"]) == 2
    assert "--platemap-on goes with --platemap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no header; it is empty"),
        ("well,drug\n", "has no entries"),
        ("well,drug\nA01,x\nA02\n", "row 3: 1 fields where the header has 2"),
        ("well,drug,Drug\nA01,x,y\n", "names a column twice: drug"),
        ("well,drug,Metadata_drug\nA01,x,y\n", "two columns would both be named Metadata_drug"),
        ("well,drug\nA01,x\nB01,y\na1,x\n", "rows 2 and 4 are both for A01"),
        ("well,drug\nA01,x\nA01,x\n", "rows 2 and 3 are both for A01"),
        ("well,drug\nA01,x\n,y\n", "row 3: has no well"),
        ("well,drug,\nA01,x,y\n", "column 3 has values but no name"),
        ("well\nA01\n", "has no column beside well"),
        ('well,drug\nA01,"x\n', "is not CSV"),
        ("well,drug\nA01,\xe9\n", "is not UTF-8 text"),
        ("well,drug\nA01,\0\n", "holds NUL bytes"),
    ],
)
def test_platemaps_that_are_damaged_are_refused_with_the_place(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_bytes(text.encode("latin-1"))
    assert join.main(["nowhere", "-o", str(tmp_path / "p"), "--platemap", str(tmp_path / "p.csv")]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_columns_and_rows_of_nothing_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("well,drug,,\n\nA01,x,,\n,,,\nA02,y,,\n")
    platemap = read_platemap(str(tmp_path / "p.csv"))
    assert list(platemap.entries) == [("A01",), ("A02",)]
    assert [column.name for column in platemap.columns] == ["Metadata_drug"]


def test_a_query_s_rows_get_them_behind_their_own_columns(tmp_path: Path) -> None:
    bundle = bundled(tmp_path, wells_plate(("A01", "B01")))
    (tmp_path / "q.sql").write_text("SELECT 1.5 AS z, Metadata_Well AS Well, Metadata_ImageNumber AS n FROM image")
    (tmp_path / "p.csv").write_text("well,drug\nB1,x\n")
    words = ["--sql", str(tmp_path / "q.sql"), "--platemap", str(tmp_path / "p.csv")]
    assert join.main([str(bundle), "-o", str(tmp_path / "p"), *words, "--quiet"]) == 0
    files = sorted(path for path in (tmp_path / "p").iterdir() if path.name != "manifest.arrow")
    tables = [pa.ipc.open_file(path).read_all() for path in files]
    assert tables[0].column_names == ["z", "Well", "n", "Metadata_drug"]
    assert [row["Metadata_drug"] for table in tables for row in table.to_pylist()] == [None, "x"]


def test_parts_without_cells_have_the_same_columns(tmp_path: Path, convert: Convert) -> None:
    trees = wells_plate(("A01", "A02"))
    for name in ("Cells", "Cytoplasm", "Nuclei"):
        del next(iter(trees.values()))[name][1:]
        set_column(next(iter(trees.values()))["Image"], f"Count_{name}", ["0"])
    source = write_sheets(tmp_path / "source", trees)
    (tmp_path / "p.csv").write_text("well,drug,dose\nA1,x,1\nA2,y,2\n")
    options = Options(discover=SPLIT, join=("--platemap", str(tmp_path / "p.csv")))
    made = convert(source, options=options)
    assert set(parquet_table(made)["Metadata_dose"].to_pylist()) == {2}
    assert differences(made, convert(source, "streams", options)) == []


def test_a_part_of_another_platemap_is_made_again(tmp_path: Path) -> None:
    source = write_sheets(tmp_path / "source", wells_plate(("A01", "A02")))
    words = [str(source), "-o", str(tmp_path / "o.parquet"), *SPLIT, "--quiet", "--overwrite", "--keep-work"]
    words += ["--work-dir", str(tmp_path / "work"), "--runner", "sequential", "--platemap", str(tmp_path / "p.csv")]
    for drug in "xy":
        (tmp_path / "p.csv").write_text(f"well,drug\nA1,{drug}\nA2,{drug}\n")
        assert flow.main(words) == 0
        table = parquet_table(tmp_path / "o.parquet")
        assert set(table["Metadata_drug"].to_pylist()) == {drug}
        before = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("part-*.arrow"))]
        assert flow.main(words) == 0
        assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("part-*.arrow"))] == before
        again, counts = parquet_table(tmp_path / "o.parquet"), counts_of(tmp_path / "o.parquet")[0]
        assert again.equals(table)
        assert sum(counts["cells"].values()) == table.num_rows


@given(st.from_regex(r"[A-Pa-p]", fullmatch=True), st.integers(1, 48), st.integers(0, 2), st.sampled_from(["", " - "]))
def test_a_well_is_the_same_however_it_is_written(row: str, column: int, zeros: int, between: str) -> None:
    key = PlatemapKey("well_position", "Metadata_Well")
    written = f"{row}{between}{'0' * zeros}{column}"
    assert key.normal(written) == key.normal(f"{row.lower()}{column}") == f"{row.upper()}{column:02d}"
    assert key.normal(key.normal(written)) == key.normal(written)
    assert PlatemapKey("plate", "Metadata_Plate").normal(written) == written


KEYS = st.sampled_from(["1", "01", "A1", "a01", "A/1", "/", "\\", "x,y", "nan", "3.0"])


def platemap_join(platemap: Platemap, schema: pa.Schema) -> PlatemapJoin:
    """Return the join of a platemap with the profiles in the tables of a part."""
    inner = SimpleNamespace(schema=schema, join=lambda tables: JoinedPart(tables["profiles"], {}))
    return PlatemapJoin(cast(PlannedJoin, inner), platemap, in_order=True)


@given(
    entries=st.lists(st.tuples(KEYS, KEYS), min_size=1, unique=True),
    cells=st.lists(st.tuples(st.none() | KEYS, st.none() | KEYS), max_size=30),
)
def test_rows_are_found_by_all_their_keys(
    entries: list[tuple[str, str]], cells: list[tuple[str | None, str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("platemap") / "p.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("one", "two", "what"), *((*entry, f"{entry}") for entry in entries)])
    columns = [pa.array([cell[place] for cell in cells], pa.string()) for place in (0, 1)]
    profiles = pa.table(columns, names=["Metadata_One", "Metadata_Two"])
    join = platemap_join(read_platemap(str(path), ("one", "two")), profiles.schema)
    joined = [join.join({"profiles": half}) for half in (profiles.slice(0, 7), profiles.slice(7))]
    halves = [(half.profiles, half.counts["platemap"]) for half in joined]
    given_rows = [what for table, _ in halves for what in table["Metadata_what"].to_pylist()]
    assert given_rows == [f"{cell}" if cell in entries else None for cell in cells]
    found = [sum(sum(counts[name].values()) for _, counts in halves) for name in ("cells", "without_entry")]
    without_well = sum(counts["without_well"] for _, counts in halves)
    assert found == [
        sum(cell in entries for cell in cells), sum(cell not in entries and None not in cell for cell in cells)
    ]  # fmt: skip
    assert without_well == sum(None in cell for cell in cells)
    labels = {label for _, counts in halves for label in counts["cells"]}
    assert len(labels) == len({cell for cell in cells if cell in entries})


@given(text=st.binary(max_size=200) | st.text('A1,;\t"\n \r0well', max_size=60).map(str.encode))
def test_any_bytes_are_a_platemap_or_refused(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("platemap") / "p.csv"
    path.write_bytes(text)
    try:
        platemap = read_platemap(str(path))
    except PctError:
        return
    assert len(set(platemap.entries)) == len(platemap.entries) > 0
    assert all(len(column.texts) == len(platemap.entries) for column in platemap.columns)


def test_numbers_of_cells_are_found_by_their_text(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("site,focus\n3,good\n4.5,bad\n-1,none\n")
    platemap = read_platemap(str(tmp_path / "p.csv"), ["site"])
    coded = pa.array(["3", None, "03", "3"]).dictionary_encode()
    for values in (pa.array([3, -1, 7]), pa.array([3.0, 4.5, float("nan")]), coded):
        profiles = pa.table({"Metadata_Site": values})
        table = platemap_join(platemap, profiles.schema).join({"profiles": profiles}).profiles
        wanted = {3: "good", "3": "good", 4.5: "bad", -1: "none"}
        assert table["Metadata_focus"].to_pylist() == [wanted.get(value) for value in values.to_pylist()]
    (tmp_path / "p.csv").write_text("site,focus\n3,good\n3,bad\n")
    with pytest.raises(DataError, match="both for 3"):
        read_platemap(str(tmp_path / "p.csv"), ["site"])


BATCH = {
    "barcode_platemap.csv": "assay_plate_barcode,PLATE_MAP_NAME\nP1,map_A\nP2,map B\nP4,map_C\nP5,map_A\n",
    "platemap/map_A.txt": "plate_map_name\twell_position\tbroad_sample\n"
    "a\ta01\tBRD-a0\na\tA02\tBRD-a1\na\tB1\tBRD-a2\n",
    "platemap/map B.csv": "Well_Position,broad_sample,dose\na1,BRD-b0,5\nA02,,6\n",
    "platemap/other.txt": "never read\0",
}


LIST = "barcode_platemap.csv"


def write_batch(folder: Path, **changes: str) -> Path:
    (folder / "platemap").mkdir(parents=True)
    for name, text in (BATCH | changes).items():
        (folder / name).write_text(text)
    return folder


def plates_source(folder: Path) -> Path:
    trees = wells_plate(("A01", "B1", "A01", "a2", "B01", "A01", "A01"))
    for plate, tables in zip(("P1", "P1", "P2", "P2", "P2", "P3", "P4"), trees.values(), strict=True):
        set_column(tables["Image"], "Metadata_Plate", [plate])
    return write_sheets(folder, trees)


@pytest.mark.parametrize("how", ["files", "streams", "concurrent"])
def test_a_batch_s_folder_leads_from_each_plate_to_its_own_map(
    how: str, tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    source, batch = plates_source(tmp_path / "source"), write_batch(tmp_path / "batch")
    made = convert(source, how, Options(discover=SPLIT, join=("--platemap", f"{batch}/")))
    table, plain = parquet_table(made), parquet_table(convert(source, options=Options(discover=SPLIT)))
    assert table.select(plain.column_names).replace_schema_metadata(None).equals(plain.replace_schema_metadata(None))
    assert set(table.column_names) - set(plain.column_names) == {
        "Metadata_broad_sample", "Metadata_dose", "Metadata_plate_map_name"
    }  # fmt: skip
    by_well = {
        ("P1", "A01"): ("a", "BRD-a0", None), ("P1", "B1"): ("a", "BRD-a2", None), ("P2", "A01"): (None, "BRD-b0", 5),
        ("P2", "a2"): (None, None, 6),
    }  # fmt: skip
    names = ("Plate", "Well", "plate_map_name", "broad_sample", "dose")
    for plate, well, *added in zip(*(table[f"Metadata_{name}"].to_pylist() for name in names), strict=True):
        assert tuple(added) == by_well.get((plate, well), (None, None, None))
    cells = Counter(zip(plain["Metadata_Plate"].to_pylist(), plain["Metadata_Well"].to_pylist(), strict=True))
    counts, options = counts_of(made)
    assert counts == {
        "cells": {
            "P1/A01": cells["P1", "A01"], "P1/B01": cells["P1", "B1"], "P2/A01": cells["P2", "A01"],
            "P2/A02": cells["P2", "a2"],
        },
        "without_entry": {"P2/B01": cells["P2", "B01"]}, "without_well": 0,
        "without_map": {"P3": cells["P3", "A01"], "P4": cells["P4", "A01"]},
    }  # fmt: skip
    assert options["platemap_on"] == ["Assay_Plate_Barcode=plate", "well_position=well"]


@pytest.mark.parametrize("tool", ["join", "flow"])
def test_plates_without_a_map_are_said(tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = write_batch(tmp_path / "batch")
    run("discover", plates_source(tmp_path / "source"), "-o", tmp_path / "m", *SPLIT)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    if tool == "join":
        assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / "p"), "--platemap", str(batch)]) == 0
    else:
        words = [str(tmp_path / "source"), "-o", str(tmp_path / "o.parquet"), *SPLIT, "--platemap", str(batch)]
        assert flow.main(words) == 0
    said = capsys.readouterr().err
    assert f"pct-{tool}: warning: no file in {batch}/platemap for map_C, the map of P4\n" in said
    assert f"pct-{tool}: platemap: 4 wells with cells, entries without a well: 1 (P1/A02)\n" in said
    assert f"pct-{tool}: warning: platemap: 2 plates, " in said
    assert " without a map: P3, P4\n" in said
    assert " without an entry: P2/B01\n" in said
    assert said.count("platemap: ") == 3


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({LIST: "plate,Plate_Map_Name\nP1,map_A\n"}, (), "no column Assay_Plate_Barcode; it has plate"),
        ({LIST: BATCH[LIST] + "P1,map_C\n"}, (), "row 6: P1 has the map map_C, and map_A"),
        ({LIST: BATCH[LIST] + ",map_C\n"}, (), "row 6: has no assay_plate_barcode"),
        ({LIST: "Assay_Plate_Barcode,Plate_Map_Name\nP1,../batch/x\n"}, (), "has no platemap/NAME.txt"),
        ({"platemap/map_A.csv": "well_position,a\nA1,x\n"}, (), "has map_A.txt, map_A.csv; leave only one"),
        ({"platemap/map_A.txt": "well_position\ta\na1\tx\nA01\ty\n"}, (), "rows 2 of map_A and 3 of map_A are both"),
        ({"platemap/map_A.txt": "well\ta\na1\tx\n"}, (), "row 2 of map_A: has no Well_Position"),
        ({}, ("--platemap-on", "well_position=Hole"), "the profiles have no column 'Hole'"),
    ],
)  # fmt: skip
def test_batches_that_do_not_fit_are_refused_in_one_line(
    changes: dict[str, str], words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundled(tmp_path, wells_plate(("A01",)))
    batch = write_batch(tmp_path / "batch", **changes)
    capsys.readouterr()
    assert join.main([str(bundle), "-o", str(tmp_path / "p"), "--platemap", str(batch), *words, "--quiet"]) in (1, 2)
    err = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(err) == 1
    assert said in err[0]


def test_a_folder_that_is_no_batch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert join.main(["nowhere", "-o", str(tmp_path / "p"), "--platemap", str(tmp_path)]) == 2
    assert (
        f"cannot read the batch's list of platemaps {tmp_path}/barcode_platemap.csv: No such file"
        in capsys.readouterr().err
    )
