"""The tables in which ExportToDatabase writes what CellProfiler knows of its run: its version, its pipeline, more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pycytominer_transform.common.errors import DataError, StorageError
from pycytominer_transform.common.formats.sqlite.files import connect
from pycytominer_transform.common.formats.sqlite.tables import SqliteExport, shown_name
from pycytominer_transform.common.model.naming import quoted
from pycytominer_transform.common.storage.location import Location

_MOST_ROWS = 1000


def read_experiment(root: Location, export: SqliteExport) -> dict[str, str]:
    """Return the keys and values of an export's file; empty if it has none, or they cannot be read."""
    # Nobody asked for them, so damaged ones are no fault of the dataset.
    with suppress(DataError, StorageError, OSError):
        path = (root / export.relative).local_file()
        with connect(path, shown_name(path, export.relative)) as connection:

            def rows_of(table: str) -> Iterator[dict[str, object]]:
                stored = connection.execute("SELECT name FROM sqlite_master WHERE lower(name) = ?", [table.lower()])
                for (name,) in stored.fetchall():
                    rows = connection.execute(f"SELECT * FROM {quoted(name)} LIMIT {_MOST_ROWS}")
                    columns = [column for column, *_ in rows.description]
                    yield from (dict(zip(columns, row, strict=True)) for row in rows)

            return {
                key: value
                for key, value in _entries(rows_of(f"{export.prefix}Per_Experiment"), rows_of("Experiment_Properties"))
                if isinstance(value, str)
            }
    return {}


def _entries(
    experiments: Iterator[dict[str, object]], properties: Iterator[dict[str, object]]
) -> Iterator[tuple[str, object]]:
    """Yield the columns of ``Per_Experiment``, which has one row, and the rows of ``Experiment_Properties``."""
    for row in experiments:
        yield from row.items()
    for row in properties:
        if {"object_name", "field", "value"} <= row.keys():
            yield f"{row['object_name']}.{row['field']}", row["value"]
