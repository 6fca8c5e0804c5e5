"""What lies in a tree of CSV folders: datasets, their tables, and what is wrong with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pycytominer_transform.common.csv_combined import CombinedTable
from pycytominer_transform.common.csv_files import csv_stem, inflated_size, open_csv
from pycytominer_transform.common.csv_head import FIRST_BYTES, CsvHead, read_head
from pycytominer_transform.common.errors import BadDatasetError, DataError, describe_os_error
from pycytominer_transform.common.found import FoundSource, TableSample
from pycytominer_transform.common.naming import listed, table_prefix
from pycytominer_transform.common.place import Place, looking_ahead
from pycytominer_transform.common.preset import Preset
from pycytominer_transform.common.tree import Folder, checked_name, fingerprint

# Image tables are small and hold the metadata, whose types no beginning of a file can tell (12, 13, ..., 0012, DMSO).
_IMAGE_BYTES = 1 << 24
_LAST_BYTES = 4
"""What the last row ends with, or how much a gzipped file holds."""
_MOST_COUNTED = 1 << 28
"""Bytes that a gzipped image table may inflate to where its counts of objects are needed: some rows for each well."""


@dataclass
class CsvDataset:
    """One export folder: the file of each of its tables, relative to the source; and what is wrong with it, if so."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    fault: str = ""

    def shown(self, table: str) -> str:
        """Say how messages call a table's file."""
        return self.name if self.files[table] == "." else self.files[table]


def find_csv_datasets(folders: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> list[CsvDataset]:
    """Find the export folders of a tree: those that hold a file of at least one table.

    None where no folder holds a compartment. A folder that holds but an image table is a dataset only where
    `lacks_compartments` says so.
    """
    datasets = []
    wanted = [preset.image, *compartments]
    for folder in folders:
        dataset = CsvDataset(folder.relative)
        for name in folder.files:
            stem = csv_stem(name)
            for table in preset.tables_of(stem, wanted) if stem is not None else ():
                if table in dataset.files:
                    dataset.fault = f"{folder.relative}: {dataset.files[table]} and {name} are both the table {table}"
                    continue
                dataset.files[table] = checked_name(folder.path_of(name))
        if dataset.files:
            datasets.append(dataset)
    return datasets if any(has_compartments(dataset, preset) for dataset in datasets) else []


def ahead(root: Place, datasets: Sequence[CsvDataset], tables: Sequence[str]) -> Iterator[CsvDataset]:
    """Give datasets one by one, the files of the next ones already being asked for where they come from afar."""
    files = dict.fromkeys(dataset.files[table] for dataset in datasets for table in tables if table in dataset.files)
    with looking_ahead(root, files, first=FIRST_BYTES, last=_LAST_BYTES):
        yield from datasets


def has_compartments(dataset: CsvDataset, preset: Preset) -> bool:
    """Say whether a folder holds more than an image table."""
    return any(table != preset.image for table in dataset.files)


def lacks_compartments(root: Place, dataset: CsvDataset, preset: Preset, tables: Sequence[str]) -> bool:
    """Say whether a folder with but an image table counts objects there, so that their tables must have been lost.

    Raises
    ------
    BadDatasetError
        The image table is no CSV.
    """
    if not dataset.files:
        return True  # A combined file with columns of none of the tables.
    if preset.image not in tables:
        return False
    file = dataset.files[preset.image]
    heads = {preset.image: read_head(root / file, file, known=_keys(preset.image, preset))}
    if not heads[preset.image].has_rows:
        return False
    return any(_objects_counted(root, dataset, preset, heads, table) for table in tables if table != preset.image)


def only_labelled(root: Place, datasets: Sequence[CsvDataset], preset: Preset) -> None:
    """Take from the datasets of combined files the tables that stand above none of their columns.

    A file that cannot be read is left as it is, so that it is reported when it is looked at.
    """
    for dataset in ahead(root, datasets, preset.compartments):
        for table in [table for table in dataset.files if table != preset.image]:
            with suppress(BadDatasetError):
                labels = _combined_head(root, dataset, table, preset).labels
                if labels and table not in map(str.lower, labels):
                    del dataset.files[table]


def combined_table(table: str, preset: Preset) -> CombinedTable | None:
    """Say how a table lies within combined files; None where it has files of its own."""
    if preset.header_rows == 1 or table == preset.image:
        return None
    return CombinedTable(table, preset.image, preset.object_number_of(table_prefix(table)))


def _combined_head(root: Place, dataset: CsvDataset, table: str, preset: Preset) -> CsvHead:
    known = [table_prefix(name) for name in (preset.image, *preset.compartments)]
    path = root / dataset.files[table]
    return read_head(path, dataset.shown(table), known=known, header_rows=preset.header_rows)


def find_single_tables(root: Place, folders: Sequence[Folder], preset: Preset) -> tuple[list[CsvDataset], list[str]]:
    """Find the files of a preset whose files have one table each: those whose header has its signs.

    Returns
    -------
    list of CsvDataset
        One for each such file, named after it, sorted by name. A file that cannot be read is among them, so that it is
        reported when it is looked at.
    list of str
        The CSV files that lack the signs.
    """
    datasets, others = [], []
    for dataset in ahead(root, _single_tables(root, folders, preset), preset.compartments):
        try:
            fits = _has_signs(root, dataset, preset)
        except BadDatasetError:
            fits = True
        if fits:
            datasets.append(dataset)
        else:
            others.append(dataset.name)
    return datasets, others


def any_single_table(root: Place, folders: Sequence[Folder], preset: Preset) -> bool:
    """Say whether there is a file whose header has the signs of a preset."""
    for dataset in ahead(root, _single_tables(root, folders, preset), preset.compartments):
        try:
            if _has_signs(root, dataset, preset):
                return True
        except BadDatasetError:
            continue
    return False


def _single_tables(root: Place, folders: Sequence[Folder], preset: Preset) -> list[CsvDataset]:
    table = preset.compartments[0]
    if not root.is_dir():
        return [CsvDataset(checked_name(root.name), {table: "."})] if csv_stem(root.name) is not None else []
    names = [folder.path_of(name) for folder in folders for name in folder.files if csv_stem(name) is not None]
    return [CsvDataset(name, {table: name}) for name in sorted(map(checked_name, names))]


def _has_signs(root: Place, dataset: CsvDataset, preset: Preset) -> bool:
    table = preset.compartments[0]
    head = read_head(root / dataset.files[table], dataset.shown(table), known=_keys(table, preset), must_end=False)
    return all(sign.is_among(dict.fromkeys(head.header, "text")) for sign in preset.signs)


def read_csv_dataset(
    root: Place, dataset: CsvDataset, preset: Preset, tables: Sequence[str], sample: Callable[[str], TableSample]
) -> list[FoundSource]:
    """Look at the files of one dataset: their headers, their first rows, their fingerprints.

    Parameters
    ----------
    root : Place
        The source.
    tables : sequence of str
        The tables that every dataset must have.
    sample : callable
        Gives the sample of a table to add the columns and rows to.

    Raises
    ------
    BadDatasetError
        A table is missing or there twice, is no CSV, lacks its key columns, or has no rows where there are objects.
    """
    if dataset.fault:
        raise BadDatasetError(dataset.fault)
    if missing := [table for table in tables if table not in dataset.files]:
        there = listed(sorted(PurePosixPath(path).name for path in dataset.files.values()))
        raise BadDatasetError(f"dataset {dataset.name}: no table {listed(missing)} (there is {there})")
    heads: dict[str, CsvHead] = {}
    found = []
    for table in tables:
        path = root / dataset.files[table]
        heads[table], has_rows = _head_of(root, dataset, table, preset)
        size, mark = fingerprint(path)
        _check_keys(heads[table], table, preset, dataset)
        sharing = [other for other in tables if dataset.files[other] == dataset.files[table]]
        found.append(
            FoundSource(
                dataset=dataset.name, table=table, path=dataset.files[table], bytes=size // len(sharing),
                fingerprint=mark, rows=-1 if has_rows else 0,
            )
        )  # fmt: skip
    for table in tables:
        # The first rows of a combined file need not show every table's objects.
        if found[tables.index(table)].rows == 0:
            _check_emptiness(root, dataset, preset, heads, table)
    for table in tables:
        sample(table).add(heads[table].header, heads[table].sample)
    return found


def _head_of(root: Place, dataset: CsvDataset, table: str, preset: Preset) -> tuple[CsvHead, bool]:
    """Give the beginning of a table, and whether its file has rows."""
    if (combined := combined_table(table, preset)) is not None:
        whole = _combined_head(root, dataset, table, preset)
        return combined.head(whole), whole.has_rows
    most = _IMAGE_BYTES if table == preset.image else FIRST_BYTES
    head = read_head(root / dataset.files[table], dataset.shown(table), size=most, known=_keys(table, preset))
    return head, head.has_rows


def prefix_of(datasets: Sequence[CsvDataset], table: str, preset: Preset) -> str:
    """Write a table's name with a capital; a compartment of the user's own as its file writes it (``PH3``)."""
    if preset.column_names == "kept":
        return ""
    if table not in (preset.image, *preset.compartments):
        for dataset in datasets:
            stem = csv_stem(PurePosixPath(dataset.files.get(table, "")).name) or ""
            if stem[:1].isupper():
                return stem
    return table_prefix(table)


def part_bytes(root: Place, source: FoundSource) -> int:
    """Give the bytes that a source counts with when parts are cut: inflated, since that is what memory holds."""
    return inflated_size(root / source.path, source.bytes)


def _keys(table: str, preset: Preset) -> list[str]:
    if preset.is_single_table:
        return [sign.column for sign in preset.signs]
    keys = [preset.image_number]
    if table != preset.image:
        keys.append(preset.object_number_of(table_prefix(table)))
    return keys


def _check_keys(head: CsvHead, table: str, preset: Preset, dataset: CsvDataset) -> None:
    keys = [] if preset.is_single_table else _keys(table, preset)
    if head.header and (missing := [key for key in keys if key not in head.header]):
        raise BadDatasetError(
            f"{dataset.shown(table)}: no column {listed(missing)} in the header; is it a {table} table?"
        )


def _check_emptiness(root: Place, dataset: CsvDataset, preset: Preset, heads: dict[str, CsvHead], table: str) -> None:
    """Tell a compartment without objects, which is no fault, from one whose rows were lost."""
    if heads[table].has_rows:
        return
    file = dataset.files[table]
    full = [other for other in heads if other != preset.image and heads[other].has_rows]
    if table == preset.image:
        if full or not heads[table].header:
            raise BadDatasetError(f"{file}: has no rows{f', but {dataset.files[full[0]]} has' if full else ''}")
        return
    counted = _objects_counted(root, dataset, preset, heads, table)
    if counted:
        raise BadDatasetError(f"{file}: has no rows, but {dataset.files[preset.image]} counts {counted} objects")
    if counted is None and full and not heads[table].header:
        raise BadDatasetError(f"{file}: is empty, without even a header, but {dataset.files[full[0]]} has rows")


def _objects_counted(
    root: Place, dataset: CsvDataset, preset: Preset, heads: dict[str, CsvHead], table: str
) -> float | None:
    """Sum what the image table says of a compartment's number of objects; None where it does not say."""
    header = heads[preset.image].header if preset.image in heads else ()
    column = next((name for name in header if name.lower().endswith(f"count_{table}")), None)
    if column is None:
        return None
    path = root / dataset.files[preset.image]
    try:
        with open_csv(path, dataset.files[preset.image], max_inflate=_MOST_COUNTED) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            rows = csv.DictReader(text, delimiter=heads[preset.image].delimiter)
            return sum(float(row[column] or 0) for row in rows)
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error
    except DataError as error:
        raise BadDatasetError(str(error)) from error
    except (ValueError, TypeError, csv.Error):
        return None
