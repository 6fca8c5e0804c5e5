"""The floor that the pipe is measured against: the least that any program must do with a plate of CSV folders.

Parses every file with decided types on all cores, joins the keys, gathers the columns and writes Parquet with the same
settings; it checks, names and remembers nothing. As a program: `python tests/bench/bench_floor.py SOURCE OUT.parquet`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

WHOLE = ("Number", "Parent_", "Children_", "Count_", "Group_")
FOLDERS_AT_ONCE = 64
NULLS = ["", "nan", "NaN", "NA", "NULL"]


def column_types(header: list[str], image: bool) -> dict[str, Any]:
    """Decide types by name; the image table keeps just keys and file names."""
    if image:
        return {n: pa.int64() if n == "ImageNumber" else pa.string() for n in header}
    features = {n: pa.float64() for n in header}
    return features | {n: pa.int64() for n in header if n.endswith("Number") or n.startswith(WHOLE)}


def read(path: Path) -> Any:
    """Read one CSV file on the calling thread."""
    with path.open() as stream:
        header = stream.readline().rstrip("\n").split(",")
    types = column_types(header, path.stem == "Image")
    wanted = [n for n in header if n == "ImageNumber" or n.startswith("FileName")] if path.stem == "Image" else header
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=NULLS, include_columns=wanted)
    reading = pyarrow.csv.ReadOptions(use_threads=False, block_size=1 << 26)
    return pyarrow.csv.read_csv(path, read_options=reading, convert_options=convert)


def join(folder: Path) -> Any:
    """Join one folder's tables by its cytoplasms."""
    tables = {name: read(folder / f"{name}.csv") for name in ("Image", "Cytoplasm", "Cells", "Nuclei")}
    anchor = tables["Cytoplasm"]
    images = anchor["ImageNumber"].to_pylist()
    places = {"Cytoplasm": list(range(len(images)))}
    image_place = {number: i for i, number in enumerate(tables["Image"]["ImageNumber"].to_pylist())}
    places["Image"] = [image_place[number] for number in images]
    for name in ("Cells", "Nuclei"):
        keys = zip(tables[name]["ImageNumber"].to_pylist(), tables[name]["ObjectNumber"].to_pylist(), strict=True)
        place = {key: i for i, key in enumerate(keys)}
        parents = zip(images, anchor[f"Parent_{name}"].to_pylist(), strict=True)
        places[name] = [place.get(key, -1) for key in parents]
    kept = [i for i in places["Cytoplasm"] if places["Cells"][i] >= 0 and places["Nuclei"][i] >= 0]
    columns: dict[str, Any] = {}
    for name, table in tables.items():
        rows = table.take(pa.array([places[name][i] for i in kept], pa.int64()))
        columns |= {f"{name}_{column}": rows[column] for column in rows.column_names}
    return pa.table(columns)


def joined(source: Path) -> Iterator[Any]:
    """Join all folders on all cores, in order, many to a table: small row groups cost more to write than to compute."""
    folders = sorted(path.parent for path in source.rglob("Image.csv"))
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        for first in range(0, len(folders), FOLDERS_AT_ONCE):
            yield pa.concat_tables(pool.map(join, folders[first : first + FOLDERS_AT_ONCE]))


def main(argv: list[str]) -> int:
    """Convert SOURCE to OUT."""
    source, out = map(Path, argv)
    writer = None
    for table in joined(source):
        if writer is None:
            texts = [field.name for field in table.schema if field.type == pa.string()]
            floats = [field.name for field in table.schema if field.type == pa.float64()]
            writer = pyarrow.parquet.ParquetWriter(
                out, table.schema, compression="lz4", use_dictionary=texts, use_byte_stream_split=floats
            )
        writer.write_table(table)
    if writer:
        writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
