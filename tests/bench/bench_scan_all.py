"""Scan all columns of a Parquet file with DuckDB: `python tests/bench/bench_scan_all.py FILE`.

`pct-report` is compared with it.
"""

from __future__ import annotations

import sys

import duckdb


def query_of(columns: list[tuple[str, str]]) -> str:
    """Give a query that reads all values: sums of numbers, and the longest of the texts."""
    parts = []
    for name, kind in columns:
        quoted = '"' + name.replace('"', '""') + '"'
        if kind == "VARCHAR":
            parts.append(f"max(length({quoted}))")
        else:
            parts.append(f"sum({quoted}::DOUBLE)" if kind == "BOOLEAN" else f"sum({quoted})")
    return f"SELECT {', '.join(parts)} FROM read_parquet(?)"


def main(argv: list[str]) -> int:
    """Scan the file."""
    [path] = argv
    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        columns = [(str(row[0]), str(row[1])) for row in described]
        print(connection.execute(query_of(columns), [path]).fetchone())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
