"""An expert's script for a plate of CSV folders: polars scans all files, joins by object numbers, sinks to Parquet.

As a program: `python tests/bench/bench_polars.py SOURCE OUT.parquet`. It checks and reports nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

NULLS = ["nan", "NaN", "NA", "NULL"]
FOLDER = "Metadata_Dataset"


def scan(source: Path, table: str) -> pl.LazyFrame:
    """Return one compartment of all folders, with its name before the names of its features."""
    header = pl.read_csv(next(source.rglob(f"{table}.csv")), n_rows=0).columns
    whole = {name for name in header if name.endswith("Number") or name.startswith(("Parent_", "Children_", "Count_"))}
    texts = {name for name in header if name.startswith(("FileName_", "PathName_", "Metadata_", "MD5Digest_", "URL_"))}
    types = {name: pl.Int64 if name in whole else pl.String if name in texts else pl.Float64 for name in header}
    files = pl.scan_csv(source / "**" / f"{table}.csv", schema=types, null_values=NULLS, include_file_paths="path")
    rows = files.with_columns(pl.col("path").str.replace(r"/[^/]*$", "").alias(FOLDER)).drop("path")
    return rows.rename({name: f"{table}_{name}" for name in header if name != "ImageNumber"})


def main(argv: list[str]) -> int:
    """Convert SOURCE to OUT."""
    source, out = map(Path, argv)
    image = scan(source, "Image").select(FOLDER, "ImageNumber", pl.col("^Image_(Metadata|FileName)_.*$"))
    keys = [FOLDER, "ImageNumber"]
    joined = scan(source, "Cytoplasm").join(image, on=keys)
    for table in ("Cells", "Nuclei"):
        left, right = [*keys, f"Cytoplasm_Parent_{table}"], [*keys, f"{table}_ObjectNumber"]
        joined = joined.join(scan(source, table), left_on=left, right_on=right)
    joined.sink_parquet(out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
