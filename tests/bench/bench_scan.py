"""How large a Parquet file is, and how long reading one column of it, or one well's rows, takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from bench_measure import Taken

__all__ = ["COLUMN", "WELL", "as_the_peer", "scans"]

COLUMN, WELL = "Cells_AreaShape_Area", "Metadata_Well"


def scans(files: dict[str, Path], runs: int) -> dict[str, Taken]:
    """Scan files in turn; gives of each the bytes, and the median seconds that the two kinds of reading took."""
    taken = {name: Taken() for name in files}
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for name, path in files.items():
            for what, read in _readings(path).items():
                start = time.perf_counter()
                read()
                seconds.setdefault((name, what), []).append(time.perf_counter() - start)
    for name, path in files.items():
        taken[name].rows = pq.read_metadata(path).num_rows
        taken[name].notes["size"] = path.stat().st_size
    for (name, what), times in seconds.items():
        taken[name].notes[what] = statistics.median(times)
    return taken


def _readings(path: Path) -> dict[str, Callable[[], object]]:
    names = pq.read_schema(path).names
    readings: dict[str, Callable[[], object]] = {}
    if COLUMN in names:
        readings["one column"] = lambda: pq.read_table(path, columns=[COLUMN])
    well = next((name for name in names if name.endswith(WELL)), None)
    if well:
        wells = pq.read_table(path, columns=[well])[well]
        middle = wells[len(wells) // 2].as_py()
        readings["one well"] = lambda: pq.read_table(path, filters=[(well, "=", middle)])
    return readings


def as_the_peer(path: Path, out: Path) -> Path:
    """Write a file's rows again with the settings that CytoTable's files show: pyarrow's own, 1,000 rows a group."""
    pq.write_table(pq.read_table(path), out, row_group_size=1_000)
    return out
