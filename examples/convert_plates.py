"""Convert every plate of a folder, in one Prefect flow: `python convert_plates.py screen/ tables/`."""

from __future__ import annotations

import sys
from pathlib import Path

from prefect import flow
from pycytominer_transform import convert


@flow(name="convert-plates")
def convert_plates(screen: str, tables: str) -> list[int]:
    """Convert each folder in `screen`, and return the number of cells of each."""
    cells = []
    for plate in sorted(path for path in Path(screen).iterdir() if path.is_dir()):
        summary = convert(str(plate), f"{tables}/{plate.name}.parquet", {"overwrite": True})
        print(f"{plate.name}: {summary.written.rows} cells")
        cells.append(summary.written.rows)
    return cells


if __name__ == "__main__":
    convert_plates(*sys.argv[1:])
