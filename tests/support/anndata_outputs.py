"""Tables that pct-write made AnnData of, opened."""

from __future__ import annotations

from pathlib import Path

import anndata
import pyarrow as pa
from converting import run


def arrow_file(table: pa.Table, path: Path) -> Path:
    """Write a table as an Arrow IPC file of several batches."""
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def read(path: Path) -> anndata.AnnData:
    """Open a file or a store by its suffix."""
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


def written(table: pa.Table, folder: Path, suffix: str, *words: str) -> anndata.AnnData:
    """Return what pct-write with these options makes of a table."""
    run("write", arrow_file(table, folder / "in.arrow"), "-o", folder / f"out.{suffix}", *words)
    return read(folder / f"out.{suffix}")
