"""The floor that SQLite plates are measured against: DuckDB scans their tables and writes each to Parquet.

Nothing is joined, named or checked. DuckDB 1.5 has one way past a text such as ``nan`` in a number column, which is to
read all as text. As a program: `python tests/bench/bench_floor_sqlite.py SOURCE.sqlite OUT KIND`; OUT is a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

TABLES = ("Image", "Cells", "Cytoplasm", "Nuclei")


def extension() -> Path | None:
    """Find DuckDB's SQLite extension in the package that brings it; None where that is not installed."""
    try:
        import duckdb_extension_sqlite_scanner as package
    except ModuleNotFoundError:
        return None
    return next(Path(package.__path__[0]).rglob("*.duckdb_extension"), None)


def main(argv: list[str]) -> int:
    """Copy the tables of SOURCE to OUT."""
    source, out, kind = argv
    Path(out).mkdir(parents=True)
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension()}'")
    connection.execute(f"SET sqlite_all_varchar = {kind == 'cytominer_database'}")
    for table in TABLES:
        name = table if kind == "cytominer_database" else f"Per_{table}"
        scan = f"SELECT * FROM sqlite_scan('{source}', '{name}')"
        connection.execute(f"COPY ({scan}) TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION lz4_raw)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
