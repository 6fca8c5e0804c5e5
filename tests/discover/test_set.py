"""Columns with one value for the whole source (``--set``)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table
from plates_sheets import SMALL, small_tables, write_sheets
from plates_sqlite import SqliteStyle, write_sqlite
from pycytominer_transform.tools import discover

SET = Options(discover=("--set", "Metadata_Batch=0012", "--set", "Metadata_Replicate=3", "--set", "Metadata_Note=a=b"))


@pytest.mark.parametrize("how", ["files", "streams", "concurrent"])
def test_every_row_has_the_value(how: str, tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    plain, table = parquet_table(convert(source)), parquet_table(convert(source, how, SET))
    added = {"Metadata_Batch": "0012", "Metadata_Replicate": 3, "Metadata_Note": "a=b"}
    assert {name: table[name].unique().to_pylist() for name in added} == {name: [added[name]] for name in added}
    assert table.drop_columns([*added]).equals(plain)


def test_plates_converted_apart_can_be_told_apart(tmp_path: Path, convert: Convert) -> None:
    tables = []
    for name in ("one", "two"):
        file = tmp_path / name / "plate.sqlite"
        file.parent.mkdir()
        write_sqlite(SMALL, file, SqliteStyle("cellprofiler_sqlite"))
        tables.append(parquet_table(convert(file, options=Options(discover=("--set", f"Metadata_Batch={name}")))))
    stacked = pa.concat_tables(tables)
    keys = ["Metadata_Batch", "Metadata_Dataset", "Metadata_ImageNumber", "Cytoplasm_Number_Object_Number"]
    assert stacked.group_by(keys).aggregate([]).num_rows == stacked.num_rows
    assert stacked["Metadata_Dataset"].unique().to_pylist() == ["plate.sqlite"]


def test_a_folder_that_is_the_dataset_goes_by_its_name(tmp_path: Path, convert: Convert) -> None:
    tables = next(iter(small_tables().values()))
    for name in ("BR1", "BR2"):
        table = parquet_table(convert(write_sheets(tmp_path / name, {".": tables})))
        assert table["Metadata_Dataset"].unique().to_pylist() == [name]


def test_a_value_set_counts_more_than_one_in_the_path(tmp_path: Path, convert: Convert) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    path = ("--path-metadata", "(?P<Batch>source)/")
    table = parquet_table(convert(source, options=Options(discover=(*SET.discover, *path))))
    assert table["Metadata_Batch"].unique().to_pylist() == ["0012"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Metadata_Well=A01"], "--set Metadata_Well: the table image has Metadata_Well; set another column"),
        (["Metadata_A=1", "Metadata_A=2"], "--set Metadata_A is given twice"),
        (["Metadata_Dataset=x"], "the tools fill Metadata_Dataset themselves"),
        (["Plate=x"], "is not COLUMN=VALUE with a column such as Metadata_Plate"),
        (["Metadata_Plate"], "is not COLUMN=VALUE with a column such as Metadata_Plate"),
        (["Metadata_Plate="], "is not COLUMN=VALUE with a column such as Metadata_Plate"),
    ],
)
def test_what_cannot_be_set_is_refused(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_sheets(tmp_path / "source", small_tables())
    options = [part for word in words for part in ("--set", word)]
    assert discover.main([str(source), "-q", "-o", str(tmp_path / "manifest.arrow"), *options]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert message in line
