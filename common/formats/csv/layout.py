"""Recognising and describing a source of CSV files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath

from pycytominer_transform.common.errors import BadDatasetError, DataError, StorageError
from pycytominer_transform.common.formats.csv.datasets import (
    CsvDataset,
    drop_unlabelled,
    find_csv_datasets,
    prefetched,
    single_tables,
)
from pycytominer_transform.common.formats.csv.experiment import read_experiment
from pycytominer_transform.common.formats.csv.file_names import csv_stem, experiment_prefixes
from pycytominer_transform.common.formats.csv.files import inflated_size
from pycytominer_transform.common.formats.csv.head import read_head
from pycytominer_transform.common.formats.other_tables import (
    ObjectTable,
    compartment_of,
    first_object_tables,
    other_tables_hint,
    parents_of_anchor,
    report_other_tables,
)
from pycytominer_transform.common.formats.protocol import Layout
from pycytominer_transform.common.formats.samples import TableSample
from pycytominer_transform.common.formats.source_layout import SourceLayout, choose_tables, default_compartments
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.naming import listed, table_prefix
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import count, logger, progress
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.repeated_datasets import find_repeated, is_repeated
from pycytominer_transform.common.storage.tree import Folder


class CsvLayout(Layout):
    """Export folders with a file for each table, or files that are a dataset each."""

    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a source has a folder with a preset's tables, or a file with its signs."""
        if preset.is_single_table:
            return any(dataset.has_signs() for dataset in single_tables(root, tree, preset))
        tables = list(dict.fromkeys((*default_compartments(preset), *compartments)))
        return root.is_dir() and bool(find_csv_datasets(root, tree, preset, tables))

    def lone_file_fault(self, file: Location) -> str:
        """Return what is wrong with a CSV file; if nothing is, that its folder is needed."""
        if csv_stem(file.name) is None:
            return ""
        try:
            read_head(file, "", must_end=False)
        except BadDatasetError as error:
            return str(error).removeprefix(": ")
        return "is a CSV file; give the folder it lies in"

    def object_tables(self, root: Location, tree: Sequence[Folder], preset: Preset) -> Iterator[dict[str, ObjectTable]]:
        """Yield, for each folder with CSV files, those whose headers number images and objects."""
        if preset.is_single_table or preset.header_rows > 1:
            return
        for folder in tree:
            if any(csv_stem(name) is not None for name in folder.files):
                yield _object_tables(root, folder, preset)

    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Look at all datasets; see `Layout.survey`."""
        datasets = _find_datasets(root, tree, preset, options)
        whole = [dataset for dataset in datasets if dataset.has_compartments]
        tables = choose_tables(preset, options, [set(dataset.files) for dataset in whole])
        if prefixes := sorted({dataset.prefix for dataset in datasets if dataset.prefix}):
            logger.info("the files' names begin with %s", listed(prefixes))
        if not options.compartments and not preset.is_single_table:
            object_tables = _object_tables_beside(root, tree, whole[0], preset)
            if parents := parents_of_anchor(object_tables, tables, preset):
                logger.info("took %s too, which the parents of the anchor lead to", listed(parents))
                tables += parents
                compartments = [table for table in tables if table != preset.image]
                datasets = find_csv_datasets(root, tree, preset, compartments, options.prefix)
                whole = [dataset for dataset in datasets if dataset.has_compartments]
            if others := [table for table in object_tables if table not in tables]:
                compartments = [table for table in tables if table != preset.image]
                with_others = find_csv_datasets(root, tree, preset, [*compartments, *others], options.prefix)
                files = [set(dataset.files) for dataset in with_others if dataset.has_compartments]
                anchor = options.anchor.lower() or preset.anchor_of(compartments)
                report_other_tables(object_tables, tables, set.intersection(*files), anchor, preset)
        repeated = find_repeated(
            root, {d.name: {file: table != preset.image for table, file in d.files.items()} for d in whole}
        )
        samples = {table: TableSample(table) for table in tables}
        layout = SourceLayout(samples=dict(samples), prefix_of=partial(_prefix_of, datasets, preset))
        for number, dataset in enumerate(prefetched(root, datasets, tables), start=1):
            progress("looking at datasets", number, len(datasets))
            with layout.dataset(options, len(datasets)):
                if is_repeated(dataset.name, repeated) or dataset.is_without_objects(tables):
                    continue
                found = dataset.read(samples)
                layout.report_notes(dataset.notes)
                layout.has_folders_of_several_image_sets |= dataset.has_several_image_sets
                if dataset.image_sets is not None:
                    layout.image_sets[dataset.name] = dataset.image_sets
                # Inflated, since that is what memory holds.
                size = sum(inflated_size(root, table.path, table.bytes) for table in found)
                layout.add(dataset.name, found, size, options.part_size)
        layout.experiment = read_experiment(root, tree, layout, preset)
        return layout


layout = CsvLayout()


def _find_datasets(
    root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions
) -> list[CsvDataset]:
    """Find the datasets of a preset.

    Raises
    ------
    DataError
        There are none.
    """
    compartments = options.compartments or default_compartments(preset)
    if preset.is_single_table:
        signs = [(dataset, dataset.has_signs()) for dataset in single_tables(root, tree, preset)]
        # A file that cannot be read may be one of them; it is reported when it is read.
        datasets = [dataset for dataset, has_signs in signs if has_signs is not False]
        others = [dataset.name for dataset, has_signs in signs if has_signs is False]
        if others and datasets:
            logger.warning("passed over %s of another kind: %s", count(len(others), "CSV file"), listed(others))
    else:
        datasets = find_csv_datasets(root, tree, preset, compartments, options.prefix)
        if preset.header_rows > 1:
            drop_unlabelled(root, datasets, preset)
    if not datasets:
        wanted = "has the columns" if preset.is_single_table else "is named after a table"
        names = [sign.column for sign in preset.signs] if preset.is_single_table else [*preset.compartments]
        unknown = {} if options.compartments else first_object_tables(layout.object_tables(root, tree, preset))
        hint = other_tables_hint(unknown, preset)
        raise DataError(f"{root}: no CSV file {wanted} {listed(names)}{hint and f', but {hint}'}")
    return datasets


def _object_tables_beside(
    root: Location, tree: Sequence[Folder], dataset: CsvDataset, preset: Preset
) -> dict[str, ObjectTable]:
    """Find the tables of objects in a dataset's folder, those of the dataset under the names that it has for them."""
    parent = str(PurePosixPath(next(iter(dataset.files.values()))).parent)
    folder = next(folder for folder in tree if folder.relative == parent)
    compartment_of_file = {file: table for table, file in dataset.files.items()}
    return {
        compartment_of_file.get(folder.path_of(found.name), table): found
        for table, found in _object_tables(root, folder, preset).items()
    }


def _prefix_of(datasets: Sequence[CsvDataset], preset: Preset, table: str) -> str:
    """Return a table's name with a capital; a compartment of the user's own as its file writes it (``PH3``)."""
    if preset.column_names == "kept":
        return ""
    if table not in (preset.image, *preset.compartments):
        for dataset in datasets:
            stem = csv_stem(PurePosixPath(dataset.files.get(table, "")).name) or ""
            written = stem.removeprefix(dataset.prefix)
            place = written.lower().find(table)
            if written[place : place + 1].isupper():
                return written[place : place + len(table)]
    return table_prefix(table)


def _object_tables(root: Location, folder: Folder, preset: Preset) -> dict[str, ObjectTable]:
    """Find the CSV files of a folder whose headers number images and objects, by lower-case stem."""
    tables: dict[str, ObjectTable] = {}
    prefixes = experiment_prefixes(folder.files, preset)
    for name in sorted(folder.files):
        stem = csv_stem(name) or ""
        prefix = next((prefix for prefix in prefixes if stem.startswith(prefix)), "")
        table = compartment_of(stem.removeprefix(prefix), preset)
        keys = [preset.image_number, preset.object_number_of(table_prefix(table))]
        # A file that cannot be read was not asked for, and is no fault of those that were.
        with suppress(DataError, StorageError):
            if table:
                head = read_head(root / folder.path_of(name), name, known=keys, must_end=False)
                if all(key in head.header for key in keys):
                    columns = frozenset(map(str.lower, head.header))
                    tables.setdefault(table.lower(), ObjectTable(name, columns))
    return tables if prefixes else _without_prefix(tables, preset)


def _without_prefix(tables: dict[str, ObjectTable], preset: Preset) -> dict[str, ObjectTable]:
    """Drop what begins the names of all tables, where their parents' columns do without it."""
    prefix = os.path.commonprefix([*tables]).rpartition("_")[0] + "_"  # noqa: RUF071  # of names, not of paths
    bare = {table.removeprefix(prefix): found for table, found in tables.items()}
    named = {preset.parent_column(table_prefix(table), parent).lower() for table in bare for parent in bare}
    return bare if any(not named.isdisjoint(found.columns) for found in tables.values()) else tables
