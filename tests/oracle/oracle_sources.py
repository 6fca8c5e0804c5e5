"""Sources read for the oracle with the standard library's `csv` and `sqlite3`, values as they stand there."""

from __future__ import annotations

import csv
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Dataset", "Sheet", "Value", "csv_datasets", "sqlite_datasets"]

Value = int | float | str | None


@dataclass(frozen=True)
class Sheet:
    """One table as it stands in the source: CSV fields are str, SQLite values what SQLite stores.

    `text_columns` are those that the source itself declares as text.
    """

    columns: list[str]
    rows: list[tuple[Value, ...]]
    text_columns: frozenset[str] = frozenset()

    def column(self, name: str) -> list[Value]:
        """All values of one column."""
        i = self.columns.index(name)
        return [row[i] for row in self.rows]


@dataclass(frozen=True)
class Dataset:
    """The tables of one export folder or of one SQLite file; `path` is relative to the source, with slashes."""

    path: str
    sheets: Mapping[str, Sheet]


def csv_datasets(source: Path, tables: Mapping[str, str]) -> list[Dataset]:
    """Read every export folder of a tree, sorted by relative path as a string.

    Parameters
    ----------
    source
        The tree; links to folders are followed, hidden names are passed over.
    tables
        Canonical table name to CSV file stem, whose letter case does not count.

    Raises
    ------
    ValueError
        A folder has some but not all of the tables.
    """
    csv.field_size_limit(sys.maxsize)
    stems = {stem.lower(): table for table, stem in tables.items()}
    found: list[Dataset] = []
    for folder, names in _folders(source, ()):
        files = {
            stems[Path(name).stem.lower()]: folder / name
            for name in names
            if name.lower().endswith(".csv") and Path(name).stem.lower() in stems
        }
        if not files:
            continue
        if missing := sorted(set(tables) - set(files)):
            raise ValueError(f"{folder}: no {', '.join(missing)}")
        found.append(Dataset(_relative(folder, source), {table: _csv_sheet(files[table]) for table in tables}))
    return sorted(found, key=lambda dataset: dataset.path)


def sqlite_datasets(source: Path, tables: Mapping[str, str]) -> list[Dataset]:
    """Read a SQLite file, or every SQLite file below a folder, sorted by relative path as a string.

    Parameters
    ----------
    source
        The file or the folder. Files are recognised by their first bytes.
    tables
        Canonical table name to SQLite table name.
    """
    files = [source] if source.is_file() else [f / name for f, names in _folders(source, ()) for name in names]
    found = [Dataset(_relative(file, source), _sqlite_sheets(file, tables)) for file in files if _is_sqlite(file)]
    return sorted(found, key=lambda dataset: dataset.path)


def _folders(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[Path, list[str]]]:
    real = os.path.realpath(folder)
    if real in above:
        return
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    yield folder, [entry.name for entry in entries if entry.is_file()]
    for entry in entries:
        if entry.is_dir():
            yield from _folders(entry, (*above, real))


def _relative(path: Path, source: Path) -> str:
    return path.name if path == source and path.is_file() else path.relative_to(source).as_posix()


def _csv_sheet(path: Path) -> Sheet:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = [line for line in csv.reader(stream) if line]
    if not lines:
        return Sheet([], [])
    header = lines[0]
    if len(set(header)) != len(header):
        raise ValueError(f"{path}: a column name occurs twice")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(header):
            raise ValueError(f"{path}: row {number} has {len(line)} fields, the header {len(header)}")
    return Sheet(header, [tuple(line) for line in lines[1:]])


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _sqlite_sheets(path: Path, tables: Mapping[str, str]) -> dict[str, Sheet]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return {table: _sqlite_sheet(connection, name) for table, name in tables.items()}
    finally:
        connection.close()


def _sqlite_sheet(connection: sqlite3.Connection, name: str) -> Sheet:
    quoted = '"' + name.replace('"', '""') + '"'
    declared = {row[1]: str(row[2]).upper() for row in connection.execute(f"PRAGMA table_info({quoted})")}
    cursor = connection.execute(f"SELECT * FROM {quoted}")
    columns = [str(column[0]) for column in cursor.description]
    text = frozenset(c for c in columns if any(word in declared[c] for word in ("CHAR", "TEXT", "CLOB")))
    return Sheet(columns, [tuple(row) for row in cursor], text)
