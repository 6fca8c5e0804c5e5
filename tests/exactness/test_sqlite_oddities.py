"""SQLite files that programs other than CellProfiler touched: keys stored in several ways, logs, odd names."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from converting import Convert, Options, parquet_table
from pycytominer_transform.tools import discover, extract

IMAGES = range(1, 13)
OBJECTS = (1, 2, 3)
COLUMNS = {
    "Image": "TableNumber, ImageNumber, Image_FileName_DNA",
    "Cells": "TableNumber, ImageNumber, ObjectNumber, Cells_X",
    "Nuclei": "TableNumber, ImageNumber, ObjectNumber, Nuclei_X",
    "Cytoplasm": "TableNumber, ImageNumber, ObjectNumber, Cytoplasm_Parent_Cells, Cytoplasm_Parent_Nuclei",
}
EACH_ALONE = Options(discover=("--part-size", "1"))

Row = tuple[Any, ...]


def run_sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def plain(_table: str, image: int, _number: int) -> tuple[Any, Any]:
    return 5, image


def plate(
    path: Path, *, images: Sequence[int] = IMAGES, key: Callable[[str, int, int], tuple[Any, Any]] = plain
) -> Path:
    """Write a cytominer-database file of undeclared columns; `key` gives a row's table number and image number."""
    rows: dict[str, list[Row]] = {
        "Image": [(*key("Image", image, 0), f"{image}.tif") for image in images],
        **{
            table: [
                (*key(table, image, number), number, *([number / 4] if table != "Cytoplasm" else [number, number]))
                for image in images
                for number in OBJECTS
            ]
            for table in ("Cells", "Nuclei", "Cytoplasm")
        },
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns in COLUMNS.items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
            marks = ", ".join("?" * len(rows[table][0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows[table])
    return path


KEYS: dict[str, Callable[[str, int, int], tuple[Any, Any]]] = {
    "image numbers of Image as text": lambda table, image, _: (5, str(image) if table == "Image" else image),
    "image numbers of Image as 1.0 in text": lambda table, at, _: (5, f"{at}.0" if table == "Image" else at),
    "table numbers of Image as text": lambda table, image, _: ("5" if table == "Image" else 5, image),
    "table numbers as text and floats": lambda table, image, _: ("5" if table == "Image" else 5.0, image),
    "both in each table": lambda _, image, number: (5, str(image) if number % 2 else image),
    "all as text": lambda _, image, _number: ("5", str(image)),
    "two tables that share no image number": lambda _, image, _number: (1 + image % 2, image),
}


@pytest.mark.endurance
@pytest.mark.parametrize("lacking", [(), ("Image",), ("Cells", "Nuclei")], ids=str)
@pytest.mark.parametrize("keys", KEYS)
def test_the_size_of_parts_changes_no_cell(keys: str, lacking: Sequence[str], tmp_path: Path, convert: Convert) -> None:
    file = plate(tmp_path / "plate.sqlite", key=KEYS[keys])
    run_sql(file, *(f"ALTER TABLE {table} DROP COLUMN TableNumber" for table in lacking))
    whole, cut = parquet_table(convert(file)), parquet_table(convert(file, options=EACH_ALONE))
    assert whole.num_rows == len(IMAGES) * len(OBJECTS)
    assert cut.equals(whole)
    assert whole["Metadata_ImageNumber"].type == pa.int64()
    assert whole["Image_FileName_DNA"].to_pylist() == [f"{n}.tif" for n in whole["Metadata_ImageNumber"].to_pylist()]


def test_an_image_number_of_two_tables_where_one_table_lacks_table_numbers(tmp_path: Path, convert: Convert) -> None:
    file = plate(tmp_path / "plate.sqlite", key=lambda _, image, number: (1 + number % 2, image))
    run_sql(file, "ALTER TABLE Image DROP COLUMN TableNumber")
    whole, cut = parquet_table(convert(file)), parquet_table(convert(file, options=EACH_ALONE))
    assert whole.num_rows == len(IMAGES) * len(OBJECTS)
    assert cut.equals(whole)


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """Give a file whose last objects are only in the log that a dead writer left."""
    live = plate(tmp_path / "live.sqlite", images=[1])
    folder = tmp_path / "logged"
    folder.mkdir()
    with closing(sqlite3.connect(live, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        add_image(writer, 2)
        shutil.copy(live, folder / "plate.sqlite")
        shutil.copy(f"{live}-wal", folder / "plate.sqlite-wal")
    return folder / "plate.sqlite"


def add_image(connection: sqlite3.Connection, image: int) -> None:
    for table, columns in COLUMNS.items():
        names = columns.replace("ImageNumber", str(image))
        connection.execute(f"INSERT INTO {table} SELECT {names} FROM {table} WHERE ImageNumber = 1")


def test_a_link_to_a_file_with_a_log(logged: Path, tmp_path: Path, convert: Convert) -> None:
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "plate.sqlite").symlink_to(logged)
    assert parquet_table(convert(staged)).num_rows == 2 * len(OBJECTS)


def test_threads_that_read_a_log_of_a_dead_writer(logged: Path, convert: Convert) -> None:
    for _ in range(7):
        Path(f"{logged}-shm").unlink(missing_ok=True)
        assert parquet_table(convert(logged, options=EACH_ALONE)).num_rows == 2 * len(OBJECTS)


def test_what_is_committed_to_the_log_after_discovery_is_a_change(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover.main([str(logged), "-o", str(tmp_path / "m"), "-q"]) == 0
    with closing(sqlite3.connect(logged, isolation_level=None)) as writer:
        add_image(writer, 3)
        assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle"), "-q"]) == 1
    assert "changed since pct-discover" in capsys.readouterr().err


def test_reading_a_file_in_write_ahead_mode_leaves_nothing_in_its_folder(tmp_path: Path, convert: Convert) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    file = plate(folder / "plate.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert parquet_table(convert(file)).num_rows == len(IMAGES) * len(OBJECTS)
    assert [path.name for path in folder.iterdir()] == ["plate.sqlite"]


@pytest.mark.parametrize("late", ["0012", "+7", "12345678901234567890"])
def test_metadata_that_would_change_as_a_number_is_refused(
    late: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = plate(tmp_path / "plate.sqlite", images=range(1, 401))
    run_sql(
        file,
        "ALTER TABLE Image ADD COLUMN Image_Metadata_Plate",
        "UPDATE Image SET Image_Metadata_Plate = ImageNumber",
        f"UPDATE Image SET Image_Metadata_Plate = '{late}' WHERE ImageNumber = 120",
    )
    assert discover.main([str(file), "-o", str(tmp_path / "m"), "-q"]) == 0
    assert extract.main([str(tmp_path / "m"), "-o", str(tmp_path / "bundle"), "-q"]) == 1
    said = capsys.readouterr().err
    assert "row 120, column 'Image_Metadata_Plate'" in said
    assert late in said


@pytest.mark.parametrize("how", ["pipe", "concurrent"])
def test_a_fraction_between_the_sampled_counts(how: str, tmp_path: Path, convert: Convert) -> None:
    file = plate(tmp_path / "plate.sqlite", images=range(1, 101))
    run_sql(
        file,
        "ALTER TABLE Cells ADD COLUMN Cells_Children_Foo_Count",
        "UPDATE Cells SET Cells_Children_Foo_Count = iif(rowid = 75, 2.5, 2)",
        "ALTER TABLE Image ADD COLUMN Image_Count_Foo",
        "UPDATE Image SET Image_Count_Foo = iif(rowid = 75, '1.5', 1)",
    )
    table = parquet_table(convert(file, how, Options(join=("--image-columns", "all"))))
    assert table["Cells_Children_Foo_Count"].to_pylist() == [2.0] * 74 + [2.5] + [2.0] * 225
    assert table["Image_Count_Foo"].to_pylist() == [1.0] * 222 + [1.5] * 3 + [1.0] * 75


def test_whole_numbers_beyond_53_bits_beside_others(tmp_path: Path, convert: Convert) -> None:
    big = 9007199254740993
    file = plate(tmp_path / "plate.sqlite", images=[1])
    run_sql(
        file,
        *(f"ALTER TABLE Cells ADD COLUMN {name}" for name in ("Cells_Children_Foo_Count", "Cells_Y")),
        f"UPDATE Cells SET Cells_Children_Foo_Count = iif(ObjectNumber = 2, {big}, 2.0)",
        f"UPDATE Cells SET Cells_Y = iif(ObjectNumber = 2, {big}, 'inf')",
    )
    table = parquet_table(convert(file))
    assert table["Cells_Children_Foo_Count"].to_pylist() == [2, big, 2]
    assert table["Cells_Y"].to_pylist() == [float("inf"), float(big), float("inf")]


def test_image_numbers_of_text_are_sorted_as_numbers(tmp_path: Path, convert: Convert) -> None:
    file = tmp_path / "plate.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, columns in COLUMNS.items():
            connection.execute(f"CREATE TABLE {table} ({columns.replace('ImageNumber', 'ImageNumber TEXT')})")
    old = plate(tmp_path / "old")
    run_sql(file, f"ATTACH '{old}' AS old", *(f"INSERT INTO {table} SELECT * FROM old.{table}" for table in COLUMNS))
    for options in (Options(), EACH_ALONE):
        numbers = parquet_table(convert(file, options=options))["Metadata_ImageNumber"].to_pylist()
        assert numbers == [image for image in IMAGES for _ in OBJECTS]


def test_a_compartment_named_in_camel_case(tmp_path: Path, convert: Convert) -> None:
    file = tmp_path / "plate.sqlite"
    run_sql(
        file,
        "CREATE TABLE Per_Image (ImageNumber, Image_FileName_DNA)",
        "CREATE TABLE Per_FilteredNuclei (ImageNumber, FilteredNuclei_Number_Object_Number, FilteredNuclei_A)",
        "CREATE TABLE Per_Cells (ImageNumber, Cells_Number_Object_Number, Cells_Parent_FilteredNuclei, Cells_A)",
        "INSERT INTO Per_Image VALUES (1, 'a.tif')",
        "INSERT INTO Per_FilteredNuclei VALUES (1, 7, 0.5)",
        "INSERT INTO Per_Cells VALUES (1, 1, 7, 0.25)",
    )
    table = parquet_table(convert(file, options=Options(discover=("--compartments", "cells,FilteredNuclei"))))
    assert table["FilteredNuclei_A"].to_pylist() == [0.5]
    assert table["Cells_A"].to_pylist() == [0.25]


def test_files_of_other_programs_are_passed_over(
    tmp_path: Path, convert: Convert, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    plate(folder / "plate.db")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 64)
    run_sql(folder / "other.db3", "CREATE TABLE people (name)")
    assert parquet_table(convert(folder)).num_rows == len(IMAGES) * len(OBJECTS)
    assert discover.main([str(folder), "-o", str(tmp_path / "m")]) == 0
    said = capsys.readouterr().err
    assert "Thumbs.db is not SQLite" in said
    assert "other.db3 holds no table" in said


@pytest.mark.parametrize(("name", "content"), [("bad.sqlite", b"rubbish" * 64), ("bad.db", b"")])
def test_a_file_that_should_be_a_plate_is_not_passed_over(name: str, content: bytes, tmp_path: Path) -> None:
    plate(tmp_path / "plate.db")
    (tmp_path / name).write_bytes(content)
    assert discover.main([str(tmp_path), "-o", str(tmp_path / "m"), "-q"]) == 1
