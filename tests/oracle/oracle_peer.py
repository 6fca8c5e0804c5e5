"""What CytoTable 1.2.6 makes of the real measurement files and of their twins, written with `csv` and `sqlite3`.

It holds for sources in which every object has all its partners, as these do. Column names, values and types are
CytoTable's; rows are in the order of the source.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["PEER", "write_expected"]

COMPARTMENTS = ("Cytoplasm", "Cells", "Nuclei")


def write_expected(folder: Path) -> None:
    """Write `expected/` beside the sources in a folder."""
    (folder / "expected").mkdir()
    for name, made in PEER.items():
        pq.write_table(made(folder), folder / "expected" / f"{name}.parquet")


def example_human(folder: Path) -> pa.Table:
    """Join the CSV files of the one image set by the cytoplasm's parents."""
    tables = {name: _csv_columns(folder / "ExampleHuman" / f"{name}.csv") for name in ("Image", *COMPARTMENTS)}
    cytoplasm = tables["Cytoplasm"]
    out = {f"Metadata_{name}": cytoplasm[name] for name in ("ImageNumber", "ObjectNumber")}
    places = {"Cytoplasm": list(range(len(cytoplasm["ObjectNumber"])))}
    for partner in ("Cells", "Nuclei"):
        place = {number: i for i, number in enumerate(tables[partner]["ObjectNumber"])}
        places[partner] = [place[number] for number in cytoplasm[f"Parent_{partner}"]]
    for name, values in tables["Image"].items():
        if name.startswith("FileName_"):
            out[f"Image_{name}"] = [values[0]] * len(places["Cytoplasm"])
    for table in COMPARTMENTS:
        for name, values in tables[table].items():
            if name not in ("ImageNumber", "ObjectNumber"):
                metadata = "Metadata_" if name.startswith("Parent_") else ""
                out[f"{metadata}{table}_{name}"] = [values[i] for i in places[table]]
    return pa.table(out)


def cell_health(folder: Path) -> pa.Table:
    """Join the tables of the one SQLite file by SQLite itself; the text `nan` is no value."""
    [path] = (folder / "cell_health").iterdir()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        declared = {
            table: {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
            for table in ("Image", *COMPARTMENTS)
        }
        scope = "TableNumber, ImageNumber"
        joined = f"FROM Cytoplasm JOIN Image USING ({scope})" + "".join(
            f" JOIN {table} ON {table}.TableNumber = Cytoplasm.TableNumber AND {table}.ImageNumber ="
            f" Cytoplasm.ImageNumber AND {table}.ObjectNumber = Cytoplasm.Cytoplasm_Parent_{table}"
            for table in ("Cells", "Nuclei")
        )
        wanted = [
            (new, f'{table}."{name}"', kind)
            for table, columns in declared.items()
            for name, kind in columns.items()
            if (new := _name_in_cell_health(table, name))
        ]
        rows = connection.execute(f"SELECT {', '.join(column for _, column, _ in wanted)} {joined}").fetchall()
    columns = zip(wanted, zip(*rows, strict=True), strict=True)
    return pa.table({new: _stored(values, kind) for (new, _, kind), values in columns})


def in_carta(folder: Path) -> pa.Table:
    """Put the rows of all files below each other; an empty field is no value."""
    tables = [_csv_texts(path) for path in sorted((folder / "in_carta").iterdir())]
    return pa.table({name: _guessed([v for table in tables for v in table[name]]) for name in tables[0]})


def deepprofiler(folder: Path) -> pa.Table:
    """Give a row for each cell of the one file, its features numbered from 1."""
    import numpy as np

    [path] = (folder / "deepprofiler").iterdir()
    with np.load(path, allow_pickle=True) as file:
        features, locations, metadata = file["features"], file["locations"], file["metadata"].item()
    rows = len(features)
    out = {"Metadata_TableNumber": pa.nulls(rows, pa.int64()), "Metadata_NPZSource": pa.array([path.name] * rows)}
    out |= {name: pa.array([value] * rows) for name, value in metadata.items()}
    out |= {f"Location_Center_{axis}": pa.array(locations[:, i].copy()) for i, axis in enumerate("XY")}
    model = metadata["Metadata_Model"]
    out |= {f"{model}_{i + 1}": pa.array(features[:, i].astype("f8")) for i in range(features.shape[1])}
    return pa.table(out)


PEER = {
    "ExampleHuman": example_human,
    "cell_health": cell_health,
    "in_carta": in_carta,
    "deepprofiler": deepprofiler,
}


def _name_in_cell_health(table: str, name: str) -> str | None:
    if table == "Image":
        is_kept = name.startswith("Image_FileName_") or name in ("Image_Metadata_Plate", "Image_Metadata_Well")
        return name if is_kept else None
    if name in ("TableNumber", "ImageNumber"):
        return f"Metadata_{name}" if table == "Cytoplasm" else None
    if name == "ObjectNumber":
        return f"{table}_{name}"
    return f"Metadata_{name}" if name.startswith("Cytoplasm_Parent_") else name


def _stored(values: Sequence[Any], kind: str) -> pa.Array:
    if kind == "FLOAT":
        return pa.array([None if value == "nan" else value for value in values], pa.float64())
    return pa.array(values, pa.int64() if kind == "BIGINT" else pa.string())


def _csv_texts(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    return dict(zip(header, map(list, zip(*lines, strict=True)), strict=True))


def _csv_columns(path: Path) -> dict[str, list[Any]]:
    return {name: _guessed(texts).to_pylist() for name, texts in _csv_texts(path).items()}


def _guessed(texts: Sequence[str]) -> pa.Array:
    """Give a column the narrowest type that all of its fields fit: true or false, whole, number, text."""
    values = [text or None for text in texts]
    filled = [value for value in values if value is not None]
    if filled and set(filled) <= {"Yes", "No"}:
        return pa.array([value and value == "Yes" for value in values], pa.bool_())
    for convert, kind in ((int, pa.int64()), (float, pa.float64())) if filled else ():
        try:
            return pa.array([None if value is None else convert(value) for value in values], kind)
        except ValueError:
            continue
    return pa.array(values, pa.string())
