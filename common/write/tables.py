"""A folder with one Parquet file for each table of a bundle, not joined; each has the columns by which tables join."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from pycytominer_transform.common.ipc.bundle import BundleReader, MemoryBundle, bundle_schema, escaped_table
from pycytominer_transform.common.ipc.stream_writer import arrow_sink
from pycytominer_transform.common.storage.destination import OutputFolder
from pycytominer_transform.common.write.parquet import RowGroupWriter


def is_own_entry(name: str) -> bool:
    """Return whether an entry of a folder is one that `write_tables` may have written."""
    return name.endswith(".parquet") and "/" not in name


def write_tables(
    bundle: BundleReader | MemoryBundle, folder: OutputFolder, settings: dict[str, Any]
) -> tuple[int, int]:
    """Write one Parquet file for each table, and return the number of rows and of columns of all.

    Raises
    ------
    StageEndedEarlyError
        The bundle is cut off.
    UsageError
        A table has no column of the chosen roles.
    """
    manifest = bundle.manifest
    files = {schema.table: f"{escaped_table(schema.table)}.parquet" for schema in manifest.tables}
    with ExitStack() as stack:
        path = stack.enter_context(folder.tree(last=[*files.values()][-1]))
        writers = {}
        for schema in manifest.tables:
            sink = stack.enter_context(arrow_sink(stack.enter_context((path / files[schema.table]).open("wb"))))
            writers[schema.table] = RowGroupWriter(sink, bundle_schema(manifest, schema), settings)
        for _, tables in bundle.parts():
            for name, table in tables.items():
                for batch in table.to_batches():
                    writers[name].add(batch)
        for writer in writers.values():
            writer.close(manifest.preset.name, bundle.steps, experiment=manifest.experiment_json)
    return sum(writer.rows for writer in writers.values()), sum(writer.columns for writer in writers.values())
