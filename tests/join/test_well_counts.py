"""`--counts` gives each cell the numbers of cells and sites of its whole well, whatever parts the well lies in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import Convert, Options, differences, parquet_table, run
from plates_sheets import SMALL, Tables, set_column, small_tables, write_sheets
from pycytominer_transform.common.model.well_counts import well_labels
from pycytominer_transform.tools import flow, join

SPLIT = ("--part-size", "1", "--path-metadata", "none")
COUNTS = ["Metadata_Object_Count", "Metadata_Site_Count"]
# A well in several folders, and so in several parts; one name on two plates; no well.
WELLS = [("P1", "A01"), ("P1", "A01"), ("P2", "A01"), ("P1", "A02"), ("P1", ""), ("P1", "A01")]


def plate(folder: Path) -> Path:
    trees = small_tables(replace(SMALL, folders=len(WELLS), sites=1, cells=5))
    for (name, well), tables in zip(WELLS, trees.values(), strict=True):
        set_column(tables["Image"], "Metadata_Well", [well])
        set_column(tables["Image"], "Metadata_Plate", [name])
    # The last site has no cell, and is a site of its well all the same.
    last: Tables = list(trees.values())[-1]
    for compartment in ("Cells", "Cytoplasm", "Nuclei"):
        del last[compartment][1:]
        set_column(last["Image"], f"Count_{compartment}", ["0"])
    return write_sheets(folder, {f"folder{number}": tables for number, tables in enumerate(trees.values())})


def check(table: pa.Table, plain: pa.Table) -> None:
    """Compare with counts of the rows themselves, and with sites written out by hand."""
    assert set(table.column_names) - set(plain.column_names) == set(COUNTS)
    assert table.select(plain.column_names).replace_schema_metadata(None).equals(plain.replace_schema_metadata(None))
    assert [table.schema.field(name).type for name in COUNTS] == [pa.int64()] * 2
    assert not table.schema.field(COUNTS[0]).metadata or b"pct.well_keys" not in table.schema.field(COUNTS[0]).metadata
    wells = list(zip(plain["Metadata_Plate"].to_pylist(), plain["Metadata_Well"].to_pylist(), strict=True))
    cells, sites = Counter(wells), {("P1", "A01"): 3, ("P2", "A01"): 1, ("P1", "A02"): 1}
    assert len(cells) == 4
    assert table[COUNTS[0]].to_pylist() == [cells[well] if well[1] else None for well in wells]
    assert table[COUNTS[1]].to_pylist() == [sites.get(well) for well in wells]


@pytest.mark.parametrize("how", ["files", "streams", "concurrent", pytest.param("dask", marks=pytest.mark.endurance)])
def test_counts_are_of_the_whole_well(how: str, tmp_path: Path, convert: Convert) -> None:
    source = plate(tmp_path / "source")
    made = convert(source, how, Options(discover=SPLIT, join=("--counts",)))
    check(parquet_table(made), parquet_table(convert(source, options=Options(discover=SPLIT))))
    whole = convert(source, options=Options(discover=("--path-metadata", "none"), join=("--counts",)))
    assert differences(made, whole) == []


@pytest.mark.quick
def test_a_folder_s_files_have_the_counts_of_all_parts(tmp_path: Path, convert: Convert) -> None:
    source = plate(tmp_path / "source")
    plain = parquet_table(convert(source, options=Options(discover=SPLIT)))
    words = [str(source), "-o", str(tmp_path / "flow"), *SPLIT, "--counts", "--quiet"]
    assert flow.main(words) == 0
    run("discover", source, "-o", tmp_path / "m", *SPLIT)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    run("join", tmp_path / "b", "-o", tmp_path / "p", "--counts")
    run("write", tmp_path / "p", "-o", tmp_path / "pipe")
    for made in ("flow", "pipe"):
        files = sorted((tmp_path / made).glob("*.parquet"))
        assert len(files) == 5
        check(pa.concat_tables(pq.read_table(file) for file in files), plain)


def test_an_interrupted_flow_goes_on_with_the_same_counts(tmp_path: Path) -> None:
    source = plate(tmp_path / "source")
    words = [str(source), *SPLIT, "--counts", "--quiet", "--keep-work", "--work-dir", str(tmp_path / "work")]
    assert flow.main([*words, "-o", str(tmp_path / "a.parquet")]) == 0
    (tmp_path / "a.parquet").rename(tmp_path / "before.parquet")
    next((tmp_path / "work").rglob("part-000002.arrow")).unlink()
    assert flow.main([*words, "-o", str(tmp_path / "a.parquet")]) == 0
    assert differences(tmp_path / "a.parquet", tmp_path / "before.parquet") == []


def test_without_wells_it_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = small_tables(replace(SMALL, folders=1))
    for tables in trees.values():
        tables["Image"][0] = [name.replace("Metadata_Well", "Hole") for name in tables["Image"][0]]
    source = write_sheets(tmp_path / "source", {"folder": next(iter(trees.values()))})
    run("discover", source, "-o", tmp_path / "m", *SPLIT)
    run("extract", tmp_path / "m", "-o", tmp_path / "b")
    capsys.readouterr()
    assert join.main([str(tmp_path / "b"), "-o", str(tmp_path / "p"), "--counts"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "--counts needs a column of wells, Metadata_Well; the profiles have Metadata_" in said
    assert flow.main([str(source), "-o", str(tmp_path / "o.parquet"), *SPLIT, "--counts", "--quiet"]) != 0


def test_labels_are_one_for_each_well() -> None:
    columns = {"plate": ["a/", "a", "a\\", None, "", "a"], "well": ["b", "/b", "/b", "b", "b", None]}
    rows = pa.table(columns)
    labels = well_labels(rows, ["plate", "well"]).to_pylist()
    assert labels == ["a\\//b", "a/\\/b", "a\\\\/\\/b", "/b", "/b", None]


def test_a_dataset_that_is_left_out_has_no_sites(tmp_path: Path, convert: Convert) -> None:
    source = plate(tmp_path / "source")
    cells = source / "folder1" / "Cytoplasm.csv"
    lines = cells.read_text().splitlines()
    cells.write_text("\n".join([*lines, lines[-1], ""]))
    words = ("--path-metadata", "none", "--on-bad-dataset", "skip")
    table = parquet_table(convert(source, options=Options(discover=words, join=("--counts",))))
    assert "folder1" not in table["Metadata_Dataset"].to_pylist()
    first = next(row for row in table.to_pylist() if row["Metadata_Dataset"] == "folder0")
    assert (first["Metadata_Well"], first["Metadata_Site_Count"]) == ("A01", 2)


def test_cell_health_counts_by_its_image_table(shared_data: Path, convert: Convert) -> None:
    table = parquet_table(convert(shared_data / "cell_health", options=Options(join=("--counts",))))
    images = Counter(zip(table["Metadata_Plate"].to_pylist(), table["Metadata_Well"].to_pylist(), strict=True))
    assert table["Metadata_Object_Count"].to_pylist() == [
        images[well]
        for well in zip(table["Metadata_Plate"].to_pylist(), table["Metadata_Well"].to_pylist(), strict=True)
    ]
    assert min(table["Metadata_Site_Count"].to_pylist()) >= 1
