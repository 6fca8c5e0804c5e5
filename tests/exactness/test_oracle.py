"""Every awkward source gives exactly what the independent oracle gives, value by value and in its order."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table
from oracle import LAYOUTS, Choices, compare, profiles
from plates_awkward import AWKWARD
from plates_sheets import SMALL
from plates_sqlite import SqliteStyle, write_sqlite

NARROW = sorted(AWKWARD.keys() - {"wide"})
EACH_ALONE = Options(discover=("--part-size", "1"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give an empty folder for a source."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def float32(value: Any) -> Any:
    """Round a float to the nearest 32-bit float, infinite where it is too large, as IEEE 754 says."""
    if not isinstance(value, float):
        return value
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def type_faults(rows: list[dict[str, Any]], schema: pa.Schema, measured: pa.DataType) -> list[str]:
    """List the columns whose type is not that of the oracle's values: int64, string, or a measurement's."""
    wanted = {int: pa.int64(), float: measured, str: pa.string()}
    faults = []
    for name in rows[0]:
        kinds = {type(row[name]) for row in rows if row[name] is not None}
        assert len(kinds) < 2, f"the oracle gives {name} several types"
        faults += [f"{name}: {schema.field(name).type}" for kind in kinds if schema.field(name).type != wanted[kind]]
    return faults


def test_no_awkward_source_is_so_empty_that_it_could_not_differ(source: Path) -> None:
    for name in NARROW:
        place = source / name
        place.mkdir()
        assert len(profiles(AWKWARD[name].write(place), AWKWARD[name].layout)) >= 7, name


@pytest.mark.parametrize("name", sorted(AWKWARD))
def test_an_awkward_source_gives_what_the_oracle_gives(name: str, source: Path, convert: Convert) -> None:
    written = AWKWARD[name].write(source)
    rows = profiles(written, AWKWARD[name].layout)
    given = parquet_table(convert(written))
    assert compare(rows, given) == []
    assert type_faults(rows, given.schema, pa.float64()) == []


@pytest.mark.parametrize("name", NARROW)
def test_keeping_the_unmatched_in_parts_of_one_folder_or_image_set(name: str, source: Path, convert: Convert) -> None:
    written = AWKWARD[name].write(source)
    rows = profiles(written, AWKWARD[name].layout, Choices(unmatched="keep"))
    assert compare(rows, convert(written, options=replace(EACH_ALONE, join=("--unmatched", "keep")))) == []


@pytest.mark.parametrize("name", NARROW)
def test_only_the_columns_that_all_have_beside_all_image_columns(name: str, source: Path, convert: Convert) -> None:
    written = AWKWARD[name].write(source)
    rows = profiles(written, AWKWARD[name].layout, Choices(columns="intersection", image_columns=".*"))
    options = Options(discover=("--columns", "intersection"), join=("--image-columns", "all"))
    assert compare(rows, convert(written, options=options)) == []


@pytest.mark.parametrize("name", NARROW)
def test_measurements_as_32_bit_floats(name: str, source: Path, convert: Convert) -> None:
    written = AWKWARD[name].write(source)
    exact = profiles(written, AWKWARD[name].layout)
    given = parquet_table(convert(written, options=Options(extract=("--float32",))))
    assert compare([{key: float32(value) for key, value in row.items()} for row in exact], given) == []
    assert type_faults(exact, given.schema, pa.float32()) == []


@pytest.mark.parametrize("name", ["four_folders", "sqlite_indexed", "cytominer_text"])
def test_image_columns_by_pattern_come_beside_the_usual_ones(name: str, source: Path, convert: Convert) -> None:
    layout = AWKWARD[name].layout
    written = AWKWARD[name].write(source)
    wanted = f"{LAYOUTS[layout].image_columns}|.*ImageQuality_Mean.*|.*PathName_ER|.*Count_Cells"
    rows = profiles(written, layout, Choices(image_columns=wanted))
    given = convert(written, options=Options(join=("--image-columns", "ImageQuality_Mean|PathName_ER|Count_Cells$")))
    assert any("ImageQuality_MeanIntensity_DNA" in name for name in rows[0])
    assert compare(rows, given) == []


@pytest.mark.parametrize("options", [Options(), EACH_ALONE], ids=["one part", "a part per folder"])
def test_four_folders_with_the_same_image_number_keep_each_cell_beside_its_own_nucleus(
    source: Path, convert: Convert, options: Options
) -> None:
    """Checked without the oracle: the nucleus's own number stands in one of its measurement columns."""
    written = AWKWARD["four_folders"].write(source)
    table = parquet_table(convert(written, options=options))
    assert table.num_rows == 400
    assert set(table["Metadata_ImageNumber"].to_pylist()) == {1}
    for compartment in ("Cells", "Nuclei"):
        parent = f"Metadata_Cytoplasm_Parent_{compartment}"
        assert table[f"{compartment}_Number_Object_Number"].equals(table[parent])
    keys = ["Metadata_TableNumber", "Metadata_ImageNumber", "Metadata_ObjectNumber"]
    assert len(set(zip(*(table[key].to_pylist() for key in keys), strict=True))) == 400
    measured = next(name for name in table.column_names if name.startswith("Nuclei_Intensity"))
    by_dataset = zip(table["Metadata_Dataset"].to_pylist(), table[measured].to_pylist(), strict=True)
    assert len(set(by_dataset)) == 400, "a nucleus stands beside several cells"


@pytest.mark.parametrize("order", ["image", "interleaved", "shuffled"])
@pytest.mark.parametrize("index", [False, True], ids=["no index", "indexed"])
@pytest.mark.parametrize(
    ("kind", "table_number"),
    [("cellprofiler_sqlite", "integer"), ("cytominer_database", "integer"), ("cytominer_database", "text")],
)
def test_every_kind_of_sqlite_file_in_parts_of_one_image_set(
    source: Path, convert: Convert, order: Any, index: bool, kind: Any, table_number: Any
) -> None:
    plate = replace(SMALL, cells=9, images=3, missing=0.15, empty=0.2, nan_share=0.2)
    style = SqliteStyle(kind, order=order, index=index, table_number=table_number)
    written = write_sqlite(plate, source / "plate.sqlite", style)
    rows = profiles(written, kind)
    assert len(rows) > 20
    assert compare(rows, convert(written, options=EACH_ALONE)) == []


@pytest.mark.parametrize("name", ["sqlite_two_files", "cytominer_two_files"])
def test_two_sqlite_files_that_number_alike_never_meet(name: str, source: Path, convert: Convert) -> None:
    written = AWKWARD[name].write(source)
    whole = parquet_table(convert(written))
    alone = [parquet_table(convert(file)) for file in sorted(written.rglob("*.sqlite"))]
    assert len(alone) == 2
    assert whole.num_rows == sum(table.num_rows for table in alone)
    names = [
        name
        for name in alone[0].column_names
        if name not in ("Metadata_TableNumber", "Metadata_Dataset", "Metadata_CellID")
    ]
    assert whole.select(names).equals(pa.concat_tables(table.select(names) for table in alone))
    keys = ["Metadata_Dataset", "Metadata_TableNumber", "Metadata_ImageNumber", whole_number(whole)]
    assert len(set(zip(*(whole[key].to_pylist() for key in keys), strict=True))) == whole.num_rows


def whole_number(table: pa.Table) -> str:
    """Name the column that numbers the anchor's objects."""
    names = ("Metadata_ObjectNumber", "Cytoplasm_Number_Object_Number", "Metadata_Cytoplasm_ObjectNumber")
    return next(name for name in names if name in table.column_names)
