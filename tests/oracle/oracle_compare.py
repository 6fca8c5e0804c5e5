"""Every difference between the rows that the oracle gives and the table that a tool wrote."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oracle_sources import Value

__all__ = ["compare"]

Row = dict[str, Value]


def compare(rows: Sequence[Row], actual: Any, most: int = 20) -> list[str]:
    """List the differences between the oracle's rows and a tool's table: columns, row order, every cell, bit by bit.

    Parameters
    ----------
    rows
        What `profiles` gave.
    actual
        A `pyarrow.Table`, or the path of a Parquet file or of a folder of such files.
    most
        Name at most so many differing cells; the rest are counted.

    Returns
    -------
    list of str
        Empty when equal. With no rows expected, only the row count can be judged.
    """
    table = _as_table(actual)
    names = list(rows[0]) if rows else list(table.column_names)
    found: list[str] = []
    if names != table.column_names:
        found += _column_differences(names, table.column_names)
    if table.num_rows != len(rows):
        return [*found, f"{table.num_rows} rows, expected {len(rows)}"]
    cells = 0
    # Looking a column up by its name takes as long as there are columns.
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name in names:
        if name not in columns:
            continue
        for i, (row, value) in enumerate(zip(rows, columns[name].to_pylist(), strict=True)):
            if not _same(row[name], value):
                cells += 1
                if cells <= most:
                    found.append(f"row {i}, column {name!r}: {value!r}, expected {row[name]!r}")
    return found if cells <= most else [*found, f"{cells} cells differ in all"]


def _as_table(actual: Any) -> Any:
    if not isinstance(actual, str | Path):
        return actual
    import pyarrow.parquet

    path = Path(actual)
    if path.is_file():
        return pyarrow.parquet.ParquetFile(path).read()
    import pyarrow

    return pyarrow.concat_tables([pyarrow.parquet.ParquetFile(p).read() for p in sorted(path.rglob("*.parquet"))])


def _column_differences(expected: list[str], actual: list[str]) -> list[str]:
    missing = [name for name in expected if name not in actual]
    extra = [name for name in actual if name not in expected]
    found = [f"column {name!r} is missing" for name in missing] + [f"column {name!r} is too much" for name in extra]
    if not found:
        i = next(i for i, (a, b) in enumerate(zip(expected, actual, strict=True)) if a != b)
        found = [f"column {i} is {actual[i]!r}, expected {expected[i]!r}: the order differs"]
    return found


def _same(expected: Value, actual: Value) -> bool:
    if isinstance(expected, float) and isinstance(actual, float):
        return struct.pack("<d", expected) == struct.pack("<d", actual)
    return type(expected) is type(actual) and expected == actual
