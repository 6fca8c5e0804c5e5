"""Tables of objects that a source has beside those that are taken: what ``--compartments`` could take too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pycytominer_transform.common import sqlite_layout
from pycytominer_transform.common.csv_files import csv_stem
from pycytominer_transform.common.csv_head import read_head
from pycytominer_transform.common.errors import DataError, StorageError
from pycytominer_transform.common.naming import listed, table_prefix
from pycytominer_transform.common.place import Place, local_path
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.reporting import logger
from pycytominer_transform.common.sqlite_files import find_sqlite_files
from pycytominer_transform.common.tree import Folder, resolve

_MOST_PLACES = 10
"""Folders or files to look at where a source holds no table that a preset knows."""


def csv_object_tables(root: Place, folder: Folder, preset: Preset) -> dict[str, str]:
    """Find the CSV files of a folder whose headers number images and objects: lower-case stem to file name."""
    found = {}
    for name in sorted(folder.files):
        table = _compartment_of(csv_stem(name) or "", preset)
        keys = [preset.image_number, preset.object_number_of(table_prefix(table))]
        # What cannot be read was not asked for, and is no fault of what was.
        with suppress(DataError, StorageError):
            if table:
                head = read_head(root / folder.path_of(name), name, known=keys, must_end=False)
                if all(key in head.header for key in keys):
                    found[table.lower()] = name
    return found


def sqlite_object_tables(path: Path, shown: str, preset: Preset) -> dict[str, str]:
    """Find the tables of an SQLite file that number images and objects: lower-case compartment to the table's name."""
    found = {}
    with suppress(DataError, StorageError):
        for name, columns in sqlite_layout.columns_of_tables(path, shown).items():
            table = _compartment_of(name, preset)
            keys = [preset.image_number, preset.object_number_of(table)]
            there = {column.lower().removeprefix("metadata_") for column in columns}
            if table and all(key.lower() in there for key in keys):
                found[table.lower()] = name
    return found


def say_passed_over(found: Mapping[str, str], tables: Sequence[str], preset: Preset) -> None:
    """Say which tables of objects are there that are not taken, and how to take them."""
    if others := {table: name for table, name in found.items() if table not in tables}:
        compartments = [table for table in tables if table != preset.image]
        what = "tables" if len(others) > 1 else "table"
        logger.info(
            "passed over the %s %s; %s takes %s too", what, _named(others), _option([*compartments, *others]),
            "them" if len(others) > 1 else "it",
        )  # fmt: skip


def other_tables_hint(root: Place, tree: Sequence[Folder], presets: Iterable[Preset]) -> str:
    """Say, for an error, which tables of objects a source has whose names no preset knows; empty if none."""
    for preset in presets:
        if preset.is_single_table or preset.format == "npz" or preset.header_rows > 1:
            continue
        for tables in islice(_places(root, tree, preset), _MOST_PLACES):
            if tables:
                return f"there are {_named(tables)}: take them with {_option([*tables])}"
    return ""


def _places(root: Place, tree: Sequence[Folder], preset: Preset) -> Iterator[dict[str, str]]:
    """Look at the folders or files one after the other, only as far as is asked for."""
    if preset.format == "csv":
        for folder in tree:
            if any(csv_stem(name) is not None for name in folder.files):
                yield csv_object_tables(root, folder, preset)
    else:
        for path in (resolve(root, file) for file in find_sqlite_files(root, tree)):
            if path.is_file():
                yield sqlite_object_tables(local_path(path), path.name, preset)


def _compartment_of(name: str, preset: Preset) -> str:
    """Give the compartment that a file's stem or an SQLite table's name may stand for; empty if none."""
    before = "(?:.*_)?" if preset.table_name.lower().startswith("per_") else ""
    pattern = before + re.escape(preset.table_name).replace(re.escape("{table}"), "([^,]+)")
    match = re.fullmatch(pattern, name, re.IGNORECASE)
    return match[1] if match and match[1].lower() != preset.image else ""


def _named(tables: Mapping[str, str]) -> str:
    return listed([f"{table} ({name})" for table, name in tables.items()])


def _option(compartments: Sequence[str]) -> str:
    return f"--compartments {shlex.quote(','.join(compartments))}"
