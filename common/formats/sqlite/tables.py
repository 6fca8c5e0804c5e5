"""The tables of an SQLite file: those that a preset names, their keys and a sample of their rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.formats.image_sets import ImageSetPart, ImageSetRows, cut_into_parts
from pycytominer_transform.common.formats.samples import TableSample, names_well_or_site, wells_and_sites
from pycytominer_transform.common.formats.source_layout import DatasetTable
from pycytominer_transform.common.formats.sqlite.files import (
    connect,
    declared_columns,
    rowid_name,
)
from pycytominer_transform.common.formats.sqlite.image_sets import find_image_sets
from pycytominer_transform.common.formats.sqlite.object_table import (
    columns_in,
    columns_of_none,
    compartments_in,
    number_in,
)
from pycytominer_transform.common.formats.table_names import table_matcher
from pycytominer_transform.common.model.column_types import names_count, names_measurement, names_whole_number
from pycytominer_transform.common.model.naming import listed, quoted, table_prefix
from pycytominer_transform.common.model.preset import Preset, declares_text
from pycytominer_transform.common.runtime.messages import count
from pycytominer_transform.common.storage.location import Location

_SAMPLE_ROWS = 50
_MOST_COUNTED = 10_000
"""Rows of a table whose counts are all looked at: more than the image sets of a plate."""
_PER = re.compile(r"(?:^|[^a-z])per_", re.IGNORECASE)
"""Begins the names of ExportToDatabase's tables, ``Per_Cells``; elsewhere no prefix of an experiment begins so."""


@dataclass(frozen=True)
class SqliteExport:
    """The tables of one experiment in a file, which are a dataset.

    Attributes
    ----------
    name : str
        The dataset's name: the file's, and the prefix where the file has several.
    relative : str
        The file, relative to the source.
    prefix : str
        What stands before the tables' names, such as ``MyExpt_``.
    tables : dict
        For each of the preset's tables the SQLite table that holds it.
    share : float
        The part of the file that is this dataset's, about.
    """

    name: str
    relative: str
    prefix: str
    tables: dict[str, str]
    share: float = 1


def shown_name(path: Path, relative: str) -> str:
    """Return a file's name in messages: its path in the source, or its own name if it is the source."""
    return path.name if relative == "." else relative


def find_exports(path: Path, shown: str, preset: Preset, tables: Sequence[str]) -> dict[str, dict[str, str]]:
    """Group the tables, and views, of a file by the prefix before the name of a table.

    Returns
    -------
    dict
        By prefix, for each of the preset's tables the SQLite table that holds it.

    Raises
    ------
    DataError, StorageError
        The file cannot be read.
    """
    match = table_matcher(preset, [*tables, *filter(None, [preset.object_table])])
    exports: dict[str, dict[str, str]] = {}
    with connect(path, shown) as connection:
        for name in sorted(_tables_and_views(connection)):
            prefix, named = match(name)
            if named and not is_foreign(name, preset):
                exports.setdefault(prefix, {}).setdefault(named[0], name)
        for names in exports.values():
            shared = names.pop(preset.object_table, None)
            if shared and not {*names} - {preset.image}:
                there = compartments_in(declared_columns(connection, shared), preset)
                names |= {table: shared for table in tables if table in there}
            elif shared and preset.object_table in tables:
                names[preset.object_table] = shared
    return {prefix: names for prefix, names in exports.items() if names}


def is_foreign(name: str, preset: Preset) -> bool:
    """Return whether a table is ExportToDatabase's, and the preset is of another kind of file."""
    return _PER.match(preset.table_name) is None and _PER.search(name) is not None


def columns_of_tables(path: Path, shown: str) -> dict[str, list[str]]:
    """List the columns of every table and view of a file.

    Raises
    ------
    DataError, StorageError
        The file cannot be read.
    """
    with connect(path, shown) as connection:
        return {name: [*declared_columns(connection, name)] for name in sorted(_tables_and_views(connection))}


def _tables_and_views(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    return [name for (name,) in connection.execute(query)]


def prefix_of(name: str, table: str, preset: Preset, columns: Iterable[str]) -> str:
    """Return a table's name with a capital; a compartment of the user's own as the file writes it (``FilteredNuclei``).

    Parameters
    ----------
    name : str
        The table's name in the file.
    """
    if preset.is_object_table(name):
        name = compartments_in(columns, preset).get(table, name)
    at = name.lower().rfind(table)
    if table in (preset.image, *preset.compartments) or at < 0 or not name[at].isupper():
        return table_prefix(table)
    return name[at : at + len(table)]


def is_recognised(path: Path, shown: str, preset: Preset, names: Mapping[str, str]) -> bool:
    """Return whether the tables of an export are a preset's: two of them, or one with its keys, and their columns.

    Parameters
    ----------
    names : mapping
        The file's table, or view, that holds each of the preset's tables.
    """
    if {*names} <= {preset.image}:
        return False
    with connect(path, shown) as connection:
        columns = {table: declared_columns(connection, name) for table, name in names.items()}
    if len(names) == 1 and any(_missing_keys(table, columns[table], preset) for table in names):
        return False
    is_prefixed = any(name.startswith(f"{table_prefix(table)}_") for table in names for name in columns[table])
    return is_prefixed == preset.has_prefixed_columns and all(
        sign.is_among(columns.get(sign.table, {})) for sign in preset.signs
    )


def read_sqlite_dataset(
    place: Location, export: SqliteExport, preset: Preset, part_size: int, samples: Mapping[str, TableSample],
    report: Callable[[Iterable[str]], None],
) -> list[list[DatasetTable]]:  # fmt: skip
    """Sample the tables of one export, and cut it into parts of whole image sets.

    Parameters
    ----------
    samples : mapping
        By table that the file must have, the sample to add its columns and rows to.
    report : callable
        Reports what is left out.

    Returns
    -------
    list of list of DatasetTable
        One entry per table for each part, image sets ascending by table number and image number.

    Raises
    ------
    BadDatasetError
        A table or a key column is missing.
    """
    path = place.local_file()
    shown, names = shown_name(path, export.relative), export.tables
    if missing := [table for table in samples if table not in names]:
        raise BadDatasetError(f"{shown}: no table {listed(missing)} (there is {listed(sorted(names.values()))})")
    size, mark = place.fingerprint()
    tables: dict[str, ImageSetRows] = {}
    with connect(path, shown) as connection:
        for table, sample in samples.items():
            name = names[table]
            stored = declared_columns(connection, name)
            columns = columns_in(stored, table, preset) if preset.is_object_table(name) else stored
            if absent := _missing_keys(table, columns, preset):
                raise BadDatasetError(f"{shown}: table {name} has no column {listed(absent)}")
            whole = next((other for other in tables.values() if other.name == name), None)
            if whole is None:
                whole = find_image_sets(connection, name, stored, preset)
                _check_rows(connection, whole, shown)
                if preset.is_object_table(name) and (others := columns_of_none(stored, preset)):
                    left_out = f"{count(len(others), 'column')} of no compartment: {listed(others, 20)}"
                    report([f"table {name}: left out {left_out}"])
            tables[table] = replace(whole, columns=columns)
            number = quoted(number_in(columns, table, preset)) if preset.is_object_table(name) else ""
            _sample_rows(connection, tables[table], preset, sample, f"{number} IS NOT NULL" if number else "TRUE")
    return [
        [
            DatasetTable(
                dataset=export.name, table=table, path=export.relative, bytes=part.bytes_of(table), fingerprint=mark,
                sqlite_table=names[table], row_ranges=part.runs_of(table), rows=_rows_of(part, table, preset),
            )
            for table in samples
        ]
        for part in cut_into_parts(tables, preset, round(size * export.share), part_size)
    ]  # fmt: skip


def read_wells_and_sites(place: Location, export: SqliteExport, name: str) -> list[dict[str, str]]:
    """Return the values of plate, well and site in each row of an image table; see `wells_and_sites`."""
    path = place.local_file()
    with connect(path, shown_name(path, export.relative)) as connection:
        columns = [column for column in declared_columns(connection, name) if names_well_or_site(column)]
        terms = ", ".join(map(quoted, columns)) or "NULL"
        return wells_and_sites(columns, connection.execute(f"SELECT {terms} FROM {quoted(name)}"))


def _missing_keys(table: str, columns: Iterable[str], preset: Preset) -> list[str]:
    keys = [preset.image_number]
    if table != preset.image:
        keys.append(preset.object_number_of(table_prefix(table)))
    lowered = {column.lower() for column in columns}
    return [key for key in keys if not {key.lower(), f"metadata_{key}".lower()} & lowered]


def _check_rows(connection: sqlite3.Connection, table: ImageSetRows, shown: str) -> None:
    """Refuse a table with a damaged index, which finds more or fewer rows than the table has."""
    name, rowid = quoted(table.name), rowid_name(table.columns)
    if not table.runs_of or connection.execute(f"PRAGMA index_list({name})").fetchone() is None:
        return
    rows = sum(table.rows_of.values())
    first, last = connection.execute(
        f"SELECT (SELECT min({rowid}) FROM {name} NOT INDEXED), (SELECT max({rowid}) FROM {name} NOT INDEXED)"
    ).fetchone()
    if first is not None and rows == last - first + 1:
        return  # No row number is free, so there is no need to count.
    stored = int(connection.execute(f"SELECT count(*) FROM {name} NOT INDEXED").fetchone()[0])
    if stored != rows:
        raise BadDatasetError(
            f"{shown}, table {table.name}: an index has {rows} rows but the table has {stored}; the index is damaged: "
            "repair it with REINDEX"
        )


def _rows_of(part: ImageSetPart, table: str, preset: Preset) -> int:
    """Return how many rows a part has of a table; -1 where not each row of the SQLite table has an object of it."""
    rows = part.rows_of(table)
    return -1 if rows and preset.is_object_table(part.tables[table].name) else rows


def _sample_rows(
    connection: sqlite3.Connection, table: ImageSetRows, preset: Preset, sample: TableSample, condition: str
) -> None:
    """Sample rows from the beginning, the middle and the end of a table."""
    name, rowid = quoted(table.name), rowid_name(table.columns)
    terms = ", ".join(map(quoted, table.columns))
    starts = ["TRUE"]
    if table.runs_of:
        last = max(run[1] for runs in table.runs_of.values() for run in runs)
        starts += [f"{rowid} >= {at}" for at in (last // 2, last - _SAMPLE_ROWS)]
    queries = [f"SELECT {terms} FROM {name} WHERE {start} AND {condition} LIMIT {_SAMPLE_ROWS}" for start in starts]
    rows = [row for query in queries for row in connection.execute(query)]
    sample.add(list(table.columns), rows)
    for column in filter(names_count, table.columns if sum(table.rows_of.values()) <= _MOST_COUNTED else ()):
        for (value,) in connection.execute(f"SELECT DISTINCT {quoted(column)} FROM {name} WHERE {condition}"):
            sample.columns[column].see_stored(value)
    for column, declared in table.columns.items():
        if declares_text(declared) and not _is_number_by_name(column, sample):
            sample.fix(column, "string")
    if preset.table_number in table.columns:
        sample.fix(preset.table_number, "int64" if table.whole_numbers else "string")


def _is_number_by_name(column: str, sample: TableSample) -> bool:
    """Return whether a column declared as text holds numbers.

    Programs that store tables of mixed values declare object numbers and measurements as text too.
    """
    return names_measurement(column) or (names_whole_number(column) and not sample.columns[column].some_text)
