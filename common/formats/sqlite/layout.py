"""What lies in a source of SQLite files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pycytominer_transform.common.errors import BadDatasetError, DataError, StorageError
from pycytominer_transform.common.formats.other_tables import (
    ObjectTable,
    compartment_of,
    parents_of_anchor,
    report_other_tables,
)
from pycytominer_transform.common.formats.protocol import Layout
from pycytominer_transform.common.formats.samples import TableSample
from pycytominer_transform.common.formats.source_layout import SourceLayout, choose_tables, default_compartments
from pycytominer_transform.common.formats.sqlite import tables as sqlite_tables
from pycytominer_transform.common.formats.sqlite.experiment import read_experiment
from pycytominer_transform.common.formats.sqlite.files import (
    SUFFIXES,
    find_sqlite_files,
    is_of_another_kind,
    is_sqlite,
)
from pycytominer_transform.common.formats.sqlite.object_table import compartments_in
from pycytominer_transform.common.formats.sqlite.tables import SqliteExport
from pycytominer_transform.common.formats.table_names import (
    export_name,
    is_chosen,
    only_exports,
    table_matcher,
)
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import logger, progress
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.repeated_datasets import find_repeated, is_repeated
from pycytominer_transform.common.storage.tree import Folder


class SqliteLayout(Layout):
    """Files with one table, or view, for each of a preset's tables."""

    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a file has an export with tables of a preset and its signs."""
        if not root.is_dir() and not is_sqlite(root):
            return False
        tables = list(dict.fromkeys((preset.image, *default_compartments(preset), *compartments)))
        for relative in find_sqlite_files(root, tree):
            place = root / relative
            if not place.is_file():
                continue
            try:
                path = place.local_file()
                shown = sqlite_tables.shown_name(path, relative)
                exports = sqlite_tables.find_exports(path, shown, preset, tables).values()
                if any(sqlite_tables.is_recognised(path, shown, preset, names) for names in exports):
                    return True
            except (DataError, StorageError):
                if not root.is_dir():
                    raise
        return False

    def lone_file_fault(self, file: Location) -> str:
        """Return that a file is not SQLite, if so."""
        return "" if is_sqlite(file) else "is not SQLite"

    def object_tables(self, root: Location, tree: Sequence[Folder], preset: Preset) -> Iterator[dict[str, ObjectTable]]:
        """Yield, for each file, the tables that number images and objects."""
        for relative in find_sqlite_files(root, tree):
            if (place := root / relative).is_file():
                yield _object_tables(place, preset)

    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Cut all files into parts; see `Layout.survey`."""
        files = find_sqlite_files(root, tree)
        if not files:
            raise DataError(f"{root}: no SQLite file in it (looked for names that end in {listed(SUFFIXES)})")
        layout = SourceLayout()
        exports: list[SqliteExport] = []
        repeated = find_repeated(root, {relative: {relative: True} for relative in files})
        for relative in files:
            with layout.dataset(options, len(files)):
                if not is_repeated(relative, repeated):
                    exports += _exports_in(root, relative, preset, options)
        if options.prefix and not exports:
            raise DataError(
                f"{root}: no table's name begins with the --prefix {options.prefix} and names a compartment"
            )
        tables = choose_tables(preset, options, [set(export.tables) for export in exports])
        if prefixes := sorted({export.prefix for export in exports if export.prefix}):
            logger.info("the tables' names begin with %s", listed(prefixes))
        if not options.compartments:
            tables = _with_parents(root, exports, tables, preset, options)
        samples = {table: TableSample(table) for table in tables}
        for number, export in enumerate(exports, start=1):
            progress("looking at datasets", number, len(exports))
            with layout.dataset(options, len(exports)):
                file = root / export.relative
                parts = sqlite_tables.read_sqlite_dataset(
                    file, export, preset, options.part_size, samples, layout.report_notes
                )
                if preset.image in tables:
                    layout.image_sets[export.name] = sqlite_tables.read_wells_and_sites(
                        file, export, export.tables[preset.image]
                    )
                layout.add_parts(export.name, parts, options.part_size)
                layout.experiment = layout.experiment or read_experiment(root, export)
        name_of = {source.table: source.sqlite_table for part in reversed(layout.parts) for source in part}
        layout.samples = dict(samples)
        layout.prefix_of = lambda table: sqlite_tables.prefix_of(
            name_of.get(table, ""), table, preset, samples[table].columns
        )
        return layout


layout = SqliteLayout()


def _exports_in(root: Location, relative: str, preset: Preset, options: DiscoverOptions) -> list[SqliteExport]:
    """List the exports of a file; empty where the file is none of the preset's.

    Raises
    ------
    DataError, StorageError
        The file is bad.
    """
    place = root / relative
    if place.exists() and not place.is_file():
        raise BadDatasetError(f"{relative}: is no regular file")
    # Other programs name their files so too, such as Thumbs.db; an empty one may be a copy that failed.
    may_be_foreign = root.is_dir() and not relative.lower().endswith((".sqlite", ".sqlite3"))
    if may_be_foreign and is_of_another_kind(place):
        logger.info("%s is not SQLite; passed over", relative)
        return []
    path = place.local_file()
    names = [preset.image, *(options.compartments or default_compartments(preset))]
    stored = sqlite_tables.find_exports(path, sqlite_tables.shown_name(path, relative), preset, names)
    chosen = {prefix: tables for prefix, tables in stored.items() if is_chosen(prefix, options.prefix)}
    whole = only_exports(chosen, preset.image)
    if any({*tables} - {preset.image} for tables in whole.values()):
        # A pipeline without objects may have written into the same file.
        whole = {prefix: tables for prefix, tables in whole.items() if {*tables} - {preset.image}}
    for prefix in chosen.keys() - whole.keys():
        shown = listed([*chosen[prefix].values()])
        advice = (
            f"; take only such with --prefix {shlex.quote(prefix)}"
            if prefix and {*chosen[prefix]} - {preset.image}
            else ""
        )
        logger.warning("%s: passed over %s: not both an image table and objects%s", relative, shown, advice)
    if may_be_foreign and not stored:
        logger.info("%s holds no table of the preset %s; passed over", relative, preset.name)
    elif not stored:
        return [SqliteExport(relative, relative, "", {})]  # Which tables are missing is said when it is read.
    exports: dict[str, SqliteExport] = {}
    for prefix, tables in whole.items():
        name = export_name(relative, prefix, exports) if prefix and len(stored) > 1 else relative
        exports[name] = SqliteExport(name, relative, prefix, tables, 1 / len(stored))
    return [*exports.values()]


def _with_parents(
    root: Location, exports: Sequence[SqliteExport], tables: list[str], preset: Preset, options: DiscoverOptions
) -> list[str]:
    """Return the tables and those that the parents of the anchor lead to; report the tables that are not read."""
    first = _object_tables(root / exports[0].relative, preset, exports[0].prefix)
    if first.keys() <= set(tables):
        return tables
    everywhere = [_object_tables(root / export.relative, preset, export.prefix) for export in exports]
    if parents := parents_of_anchor(first, tables, preset):
        logger.info("took %s too, which the parents of the anchor lead to", listed(parents))
        tables = [*tables, *parents]
        for export, others in zip(exports, everywhere, strict=True):
            export.tables.update({table: others[table].name for table in parents if table in others})
    anchor = options.anchor.lower() or preset.anchor_of([name for name in tables if name != preset.image])
    report_other_tables(first, tables, set.intersection(*map(set, everywhere)), anchor, preset)
    return tables


def _object_tables(file: Location, preset: Preset, chosen: str | None = None) -> dict[str, ObjectTable]:
    """Find the tables of a file that number images and objects, by lower-case compartment.

    Parameters
    ----------
    chosen : str, optional
        What stands before the tables' names; by default anything.
    """
    tables: dict[str, ObjectTable] = {}
    # A file that cannot be read was not asked for, and is no fault of those that were.
    with suppress(DataError, OSError):
        if not is_sqlite(file):
            return tables
        columns_of = sqlite_tables.columns_of_tables(file.local_file(), file.name)
        matches = [*map(table_matcher(preset, [preset.image]), columns_of), (chosen or "", [preset.image])]
        prefixes = sorted({prefix for prefix, found in matches if found}, key=len, reverse=True)
        shared: dict[str, ObjectTable] = {}
        for name, columns in columns_of.items():
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
            bare, found = name.removeprefix(prefix), ObjectTable(name, frozenset(map(str.lower, columns)))
            if chosen is not None and (prefix != chosen or not bare.lower().startswith(preset.names_of("")[0].lower())):
                continue
            table = "" if sqlite_tables.is_foreign(name, preset) else compartment_of(bare, preset)
            keys = [preset.image_number, preset.object_number_of(table)]
            there = {column.lower().removeprefix("metadata_") for column in columns}
            if table and all(key.lower() in there for key in keys):
                tables.setdefault(table.lower(), found)
            elif preset.is_object_table(bare) and not shared:
                shared = dict.fromkeys(compartments_in(columns, preset), found)
        tables = tables or shared
    return tables
