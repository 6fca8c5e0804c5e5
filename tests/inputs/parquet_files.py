"""Parquet tables made of CellProfiler CSV folders, as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

__all__ = ["prefixed", "write_tables"]

_NULLS = ["", "nan", "NaN", "NA", "NULL"]


def write_tables(tree: Path, out: Path, name: str = "{table}.parquet", *, named: bool = False, **options: Any) -> Path:
    """Write a Parquet file for each CSV file of a tree, into the same folders.

    Parameters
    ----------
    name : str
        How files are named, by the CSV file's stem.
    named : bool
        Whether columns begin with their table's name.
    options
        Those of `pyarrow.parquet.write_table`.
    """
    nulls = pyarrow.csv.ConvertOptions(null_values=_NULLS, strings_can_be_null=False)
    for path in sorted(tree.rglob("*.csv")):
        folder = out / path.parent.relative_to(tree)
        folder.mkdir(parents=True, exist_ok=True)
        table = pyarrow.csv.read_csv(path, convert_options=nulls)
        table = prefixed(table, path.stem) if named else table
        pq.write_table(table, folder / name.replace("{table}", path.stem), **options)
    return out


def prefixed(table: pa.Table, name: str) -> pa.Table:
    """Name columns as CytoTable does."""
    keys = {column: f"Metadata_{column}" for column in ("ImageNumber", "ObjectNumber")}
    parents = {column: f"Metadata_{name}_{column}" for column in table.column_names if column.startswith("Parent_")}
    kept = {column: column for column in table.column_names if column.startswith("Metadata_")}
    final = keys | parents | kept
    return table.rename_columns([final.get(column, f"{name}_{column}") for column in table.column_names])
