"""The IDs of cells: unique, readable where plate, well and site identify, and the same however a source is cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from converting import Convert, Options, parquet_table
from hypothesis import given
from hypothesis import strategies as st
from plates import Plate, write_csv
from plates_sheets import Tables, set_column, small_tables, write_sheets
from plates_sqlite import write_sqlite
from pycytominer_transform.common.extract.cell_ids import CellIds
from pycytominer_transform.common.model.roles import role_of_field
from running import run as run_tool

PLATE = Plate(folders=4, cells=6, features=4)
NAMES = st.text(st.sampled_from("ab:%/3A2"), max_size=4)


def ids_of(path: Path) -> list[str]:
    ids: list[str] = parquet_table(path)["Metadata_CellID"].to_pylist()
    assert None not in ids
    assert len(set(ids)) == len(ids) > 0
    return ids


def cells_by_id(path: Path) -> dict[str, dict[str, Any]]:
    ids_of(path)
    return {row.pop("Metadata_CellID"): row for row in parquet_table(path).to_pylist()}


@pytest.mark.quick
def test_plate_well_site_and_object_where_these_identify(tmp_path: Path, convert: Convert) -> None:
    table = parquet_table(convert(write_csv(PLATE, tmp_path / "plate")))
    names = ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_ObjectNumber")
    keys = zip(*(table[name].to_pylist() for name in names), strict=True)
    assert table["Metadata_CellID"].to_pylist() == [":".join(map(str, key)) for key in keys]
    assert table.column_names[3] == "Metadata_CellID"
    assert role_of_field(table.schema.field("Metadata_CellID")) == "identifier"


def test_a_database_of_many_image_sets(tmp_path: Path, convert: Convert) -> None:
    table = parquet_table(convert(write_sqlite(PLATE, tmp_path / "plate.sqlite")))
    names = [f"Image_Metadata_{name}" for name in ("Plate", "Well", "Site")] + ["Cytoplasm_Number_Object_Number"]
    keys = zip(*(table[name].to_pylist() for name in names), strict=True)
    assert table["Metadata_CellID"].to_pylist() == [":".join(map(str, key)) for key in keys]


def with_sites(trees: dict[str, Tables], sites: Sequence[str]) -> dict[str, Tables]:
    """Return the tables with one plate and one well and these sites in the image tables."""
    for tables, site in zip(trees.values(), sites, strict=True):
        values = {"Metadata_Plate": "P:1", "Metadata_Well": "A01", "Metadata_Site": site}
        for name, value in values.items():
            if name not in tables["Image"][0]:
                tables["Image"] = [[*line, ""] for line in tables["Image"]]
                tables["Image"][0][-1] = name
            set_column(tables["Image"], name, [value] * (len(tables["Image"]) - 1))
    return trees


@pytest.mark.parametrize(
    ("sites", "begins"),
    [
        (("1", "2", "3"), r"P%3A1:A01:[1-3]:"),
        # Two image sets have the same, one of them lacks its site, or is another writing of the same number.
        (("1", "2", "2"), r"[^:]+:1:"),
        (("1", "2", ""), r"[^:]+:1:"),
        (("1", "2", "2.0"), r"[^:]+:1:"),
    ],
)
def test_the_dataset_where_they_do_not(sites: Sequence[str], begins: str, tmp_path: Path, convert: Convert) -> None:
    trees = {f"folder {number}": tables for number, tables in enumerate(small_tables().values())}
    source = write_sheets(tmp_path / "source", with_sites(trees, sites))
    ids = ids_of(convert(source, options=Options(discover=("--path-metadata", "none"))))
    assert all(re.fullmatch(f"{begins}[0-9]+", one) for one in ids), ids[:3]


def test_rows_without_numbers_are_known_by_their_place_in_the_file(tmp_path: Path, convert: Convert) -> None:
    for name, rows in {"a": 3, "B/c": 5, "b": 1}.items():
        file = tmp_path / "runs" / f"{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("OBJECT ID,WELL LABEL,Area\n" + "".join(f"{row % 2},A - 1,{row}\n" for row in range(rows)))
    table = parquet_table(convert(tmp_path / "runs", options=Options(discover=("--part-size", "1"))))
    assert sorted(set(table["Metadata_Dataset"].to_pylist())) == ["B/c.csv", "a.csv", "b.csv"]
    for name in set(table["Metadata_Dataset"].to_pylist()):
        own = table.filter(pc.equal(table["Metadata_Dataset"], name))["Metadata_CellID"].to_pylist()
        assert own == [f"{name}:{place}" for place in range(1, len(own) + 1)]


@pytest.mark.parametrize("how", ["streams", "concurrent"])
def test_the_same_however_a_source_is_cut_sharded_or_named(how: str, tmp_path: Path, convert: Convert) -> None:
    trees = {f"x/{name}": tables for name, tables in small_tables().items()}
    source = write_sheets(tmp_path / "here" / "source", trees)
    whole = cells_by_id(convert(source))
    assert not any(str(tmp_path) in one for one in whole)
    for words in (("--part-size", "1"), ("--part-size", "8kB")):
        assert cells_by_id(convert(source, how, Options(discover=words))) == whole
    first, second = (
        cells_by_id(convert(source, how, Options(discover=("--part-size", "1", "--shard", share))))
        for share in ("1/2", "2/2")
    )
    assert first | second == whole
    assert not first.keys() & second.keys()
    moved = write_sheets(tmp_path / "there" / "source", dict(reversed(trees.items())))
    assert cells_by_id(convert(moved, how)) == whole


def test_the_same_in_any_order_of_rows(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables()
    whole = cells_by_id(convert(write_sheets(tmp_path / "source", trees)))
    for tables in trees.values():
        for lines in tables.values():
            lines[1:] = reversed(lines[1:])
    assert cells_by_id(convert(write_sheets(tmp_path / "other" / "source", trees))) == whole


def test_a_column_of_the_source_stays(tmp_path: Path, convert: Convert) -> None:
    trees = small_tables()
    for tables in trees.values():
        for table in ("Image", "Cells", "Cytoplasm", "Nuclei"):
            tables[table][0].append("Metadata_CellID")
            for line in tables[table][1:]:
                line.append("mine")
    table = parquet_table(convert(write_sheets(tmp_path / "source", trees)))
    assert table["Metadata_CellID"].unique().to_pylist() == ["mine"]


def test_a_query_that_gives_a_cell_twice_is_refused_with_both_rows(tmp_path: Path) -> None:
    source = write_csv(PLATE, tmp_path / "plate")
    query = tmp_path / "query.sql"
    query.write_text("SELECT cytoplasm.*, side FROM cytoplasm, (VALUES ('left'), ('right')) AS sides (side)")
    words = ("flow", source, "-o", tmp_path / "out.parquet", "--sql", query)
    ran = run_tool(*words)
    assert ran.code == 1
    assert re.search("two rows have the Metadata_CellID .*side left.* and .*side right.*leave Metadata_", ran.err)
    query.write_text(query.read_text().replace("cytoplasm.*", "cytoplasm.* EXCLUDE (Metadata_CellID)"))
    assert run_tool(*words).code == 0


def test_a_constant_is_no_id(tmp_path: Path) -> None:
    ran = run_tool("discover", write_csv(PLATE, tmp_path / "plate"), "--set", "Metadata_CellID=x")
    assert ran.code == 2
    assert "the tools fill Metadata_CellID themselves" in ran.err


@given(st.sets(st.tuples(NAMES, NAMES, st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_no_two_texts_are_joined_alike(keys: set[tuple[str, str, int, int]]) -> None:
    names = ["Metadata_Dataset", "Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber"]
    table = pa.table({name: list(values) for name, values in zip(names, zip(*sorted(keys), strict=True), strict=True)})
    ids = CellIds("cells", "", tuple(names[:3]), names[3], ()).of_objects(table, {})
    assert pc.count_distinct(ids).as_py() == len(keys)
