"""Write a small source for each preset whose files are made here: ``python tests/inputs/plates_presets.py FOLDER``."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harmony_exports import object_rows, write_evaluation
from parquet_files import write_tables
from plates import COMPARTMENTS, Plate, write_csv
from plates_sheets import Line, Tables, column_place, small_tables, write_sheets
from plates_sqlite import SqliteStyle, write_sqlite

__all__ = ["combined", "write_presets"]

PLATE = Plate(folders=8, cells=12, features=8, sites=2)


def combined(tables: Tables, *, one_number: bool = True) -> list[Line]:
    """Put the objects of each image side by side, as CellProfiler does; fields stay empty where a table has fewer."""
    columns = [
        (name, place)
        for name in COMPARTMENTS
        for place, column in enumerate(tables[name][0])
        if column != "ImageNumber" and (column != "ObjectNumber" or not one_number or name == COMPARTMENTS[0])
    ]
    lines = [["Image", *(name for name, _ in columns)]]
    lines.append(["ImageNumber", *(tables[name][0][place] for name, place in columns)])
    image_place, number_place = (column_place(tables["Cells"], n) for n in ("ImageNumber", "ObjectNumber"))
    for image in [line[column_place(tables["Image"], "ImageNumber")] for line in tables["Image"][1:]]:
        objects = {name: [line for line in tables[name][1:] if line[image_place] == image] for name in COMPARTMENTS}
        for row in range(max(map(len, objects.values()))):
            line = [image]
            for name, place in columns:
                there = row < len(objects[name])
                is_number = one_number and place == number_place
                line.append(str(row + 1) if is_number else objects[name][row][place] if there else "")
            lines.append(line)
    return lines


def write_presets(folder: Path) -> None:
    """Write one source for each preset but `single_cells`, named after it; those of SQLite are files."""
    folder.mkdir()
    write_csv(PLATE, folder / "cellprofiler_csv")
    trees = {
        path: {"Image": sheets["Image"], "Object": combined(sheets)} for path, sheets in small_tables(PLATE).items()
    }
    write_sheets(folder / "cellprofiler_combined", trees)
    for preset in ("cellprofiler_sqlite", "pycytominer"):
        write_sqlite(PLATE, folder / preset, SqliteStyle())
    for preset in ("cytominer_database", "jump"):
        write_sqlite(PLATE, folder / preset, SqliteStyle("cytominer_database"))
    write_evaluation(folder / "harmony", [object_rows("Nuclei", cells=12)])
    write_tables(folder / "cellprofiler_csv", folder / "parquet_tables")
    write_tables(folder / "cellprofiler_csv", folder / "parquet_named_tables", named=True)
    _write_database_tables(folder / "cellprofiler_sqlite", folder / "parquet_database_tables")
    with closing(sqlite3.connect(folder / "jump")) as connection, connection:
        for name in ("Metadata_Plate", "Metadata_Well"):
            connection.execute(f"ALTER TABLE Image RENAME COLUMN Image_{name} TO {name}")


def _write_database_tables(database: Path, folder: Path) -> None:
    """Write each table of a database to a Parquet file of its name."""
    folder.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), folder / f"{name}.parquet")


if __name__ == "__main__":
    write_presets(Path(sys.argv[1]))
