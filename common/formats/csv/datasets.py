"""The datasets in a tree of CSV folders: their tables, and checks that none has lost any."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from pycytominer_transform.common.errors import BadDatasetError, DataError, describe_os_error
from pycytominer_transform.common.formats.csv.combined import combined_table
from pycytominer_transform.common.formats.csv.file_names import find_exports, is_csv_name
from pycytominer_transform.common.formats.csv.files import csv_rows, open_csv
from pycytominer_transform.common.formats.csv.head import FIRST_BYTES, CsvHead, read_head
from pycytominer_transform.common.formats.folder_datasets import FolderDataset, find_folder_datasets
from pycytominer_transform.common.formats.samples import TableSample, wells_and_sites
from pycytominer_transform.common.formats.source_layout import DatasetTable
from pycytominer_transform.common.formats.table_names import table_matcher
from pycytominer_transform.common.model.conversion import number_of
from pycytominer_transform.common.model.naming import listed, table_prefix
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.tree import Folder, checked_name

# Image tables are small and hold the metadata, whose types no beginning of a file can tell (12, 13, ..., 0012, DMSO).
_IMAGE_BYTES = 1 << 24
_LAST_BYTES = 4
"""Bytes with the end of the last row, or with the size of a gzipped file."""
_MOST_COUNTED = 1 << 28
"""Bytes that a gzipped image table may inflate to where its counts of objects are needed: some rows for each well."""


@dataclass
class CsvDataset(FolderDataset):
    """One export folder, or one file with a table of its own.

    Attributes
    ----------
    notes : list of str
        What `read` passed over, or read otherwise than it is written.
    has_several_image_sets : bool
        Whether `read` found that the image table has several rows.
    image_sets : list of dict, optional
        What the image table says of the plate, well and site of each image set, if `read` found it small.
    """

    preset: Preset = field(kw_only=True)
    notes: list[str] = field(default_factory=list)
    has_several_image_sets: bool = False
    image_sets: list[dict[str, str]] | None = None

    @property
    def has_compartments(self) -> bool:
        """Whether there is more than an image table."""
        return any(table != self.preset.image for table in self.files)

    def head(self, table: str, *, must_end: bool = True) -> CsvHead:
        """Read the beginning of a table's file; see `read_head`."""
        preset, known, header_rows = self.preset, self._keys(table), 1
        if combined_table(table, preset) is not None:
            known = [table_prefix(name) for name in (preset.image, *preset.compartments)]
            header_rows = preset.header_rows
        return read_head(
            self.root / self.files[table],
            self.shown(table),
            size=_IMAGE_BYTES if table == preset.image else FIRST_BYTES,
            known=known,
            header_rows=header_rows,
            must_end=must_end,
        )

    def has_signs(self) -> bool | None:
        """Return whether the header has the preset's signs; None if the file cannot be read."""
        try:
            header = self.head(self.preset.compartments[0], must_end=False).header
        except BadDatasetError:
            return None
        return all(sign.is_among(dict.fromkeys(header, "text")) for sign in self.preset.signs)

    def is_without_objects(self, tables: Sequence[str]) -> bool:
        """Return whether there is only an image table, which counts no objects; else the others must have been lost.

        Raises
        ------
        BadDatasetError
            The image table is no CSV.
        """
        # A combined file may have columns of none of the tables.
        image = self.preset.image
        if self.has_compartments or not self.files:
            return False
        if image not in tables:
            return True
        head = self.head(image)
        return not head.sample or not any(self._objects_counted(head, table) for table in tables if table != image)

    def read(self, samples: Mapping[str, TableSample]) -> list[DatasetTable]:
        """Read the headers, first rows and fingerprints of the files, and add them to samples of tables.

        Raises
        ------
        BadDatasetError
            A table is missing or there twice, is no CSV, lacks its key columns, or has no rows where there are objects.
        """
        self.check_files(samples)
        heads: dict[str, CsvHead] = {}
        tables: list[DatasetTable] = []
        for table in samples:
            whole, combined = self.head(table), combined_table(table, self.preset)
            self.notes += [f"table {table}: {note}" for note in whole.notes]
            heads[table] = combined.head(whole) if combined else whole
            self._check_keys(heads[table], table)
            path = self.files[table]
            size, mark = (self.root / path).fingerprint()
            sharing = sum(self.files[other] == path for other in samples)
            # The first rows of a combined file need not show every table's objects.
            rows = -1 if whole.sample else 0
            tables.append(DatasetTable(
                dataset=self.name, table=table, path=path, bytes=size // sharing, fingerprint=mark, rows=rows,
            ))  # fmt: skip
        for empty in tables:
            if empty.rows == 0:
                self._check_emptiness(heads, empty.table)
        for table, head in heads.items():
            samples[table].add(head.header, head.sample)
        if self.preset.image in heads:
            image = heads[self.preset.image]
            self.has_several_image_sets = len(image.sample) > 1
            # Rows of delimiters alone are no image sets.
            filled = [row for row in image.sample if any(row)]
            self.image_sets = wells_and_sites(image.header, filled) if image.is_whole else None
        return tables

    def _keys(self, table: str) -> list[str]:
        """List the columns that a table must have."""
        if self.preset.is_single_table:
            return [sign.column for sign in self.preset.signs]
        image_number = self.preset.image_number
        if table == self.preset.image:
            return [image_number]
        return [image_number, self.preset.object_number_of(table_prefix(table))]

    def _check_keys(self, head: CsvHead, table: str) -> None:
        # The signs of a single table are patterns, and were compared when the file was chosen.
        missing = [] if self.preset.is_single_table else [key for key in self._keys(table) if key not in head.header]
        if head.header and missing:
            raise BadDatasetError(
                f"{self.shown(table)}: no column {listed(missing)} in the header; is it a {table} table?"
            )

    def _check_emptiness(self, heads: Mapping[str, CsvHead], table: str) -> None:
        """Refuse a table without rows if they were lost; a compartment may have no objects."""
        file, image = self.files[table], self.preset.image
        full = [self.files[other] for other in heads if other != image and heads[other].sample]
        if table == image:
            if full or not heads[table].header:
                raise BadDatasetError(f"{file}: has no rows{f', but {full[0]} has' if full else ''}")
            return
        counted = self._objects_counted(heads[image], table) if image in heads else None
        if counted:
            raise BadDatasetError(f"{file}: has no rows, but {self.files[image]} counts {counted} objects")
        if counted is None and full and not heads[table].header:
            raise BadDatasetError(f"{file}: is empty, without even a header, but {full[0]} has rows")

    def _objects_counted(self, image: CsvHead, table: str) -> float | None:
        """Sum the image table's counts of a compartment's objects; None if it has none that are numbers."""
        column = next((name for name in image.header if name.lower().endswith(f"count_{table}")), None)
        if column is None:
            return None
        file = self.files[self.preset.image]
        path = self.root / file
        try:
            with open_csv(path, file, max_inflate=_MOST_COUNTED) as stream:
                text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
                rows = csv_rows(text, image.delimiter)
                place = next(rows).index(column)
                return sum(number_of(row[place], "float64") or 0 for row in rows if row)
        except OSError as error:
            raise describe_os_error(error, f"read {path}") from error
        except DataError as error:
            raise BadDatasetError(str(error)) from error
        except (ValueError, IndexError, StopIteration, csv.Error):
            return None


def find_csv_datasets(
    root: Location, folders: Sequence[Folder], preset: Preset, compartments: Sequence[str], prefix: str = ""
) -> list[CsvDataset]:
    """Find the exports in a tree: folders with a file of at least one table; none if no export has a compartment.

    An export with only an image table is a dataset unless `CsvDataset.is_without_objects`.

    Parameters
    ----------
    prefix : str
        Take only the files whose names begin with this; empty for all.
    """
    match = table_matcher(preset, [preset.image, *compartments])
    exports_of = partial(find_exports, match=match, image=preset.image)
    datasets = find_folder_datasets(folders, exports_of, partial(CsvDataset, root, preset=preset), prefix)
    return datasets if any(dataset.has_compartments for dataset in datasets) else []


def single_tables(root: Location, folders: Sequence[Folder], preset: Preset) -> Iterator[CsvDataset]:
    """Yield each CSV file as a dataset with one table, sorted by name."""
    table = preset.compartments[0]
    if root.is_dir():
        names = [folder.path_of(name) for folder in folders for name in folder.files if is_csv_name(name)]
        datasets = [CsvDataset(root, name, {table: name}, preset=preset) for name in sorted(map(checked_name, names))]
    else:
        names = [checked_name(root.name)] if is_csv_name(root.name) else []
        datasets = [CsvDataset(root, name, {table: "."}, preset=preset) for name in names]
    return prefetched(root, datasets, [table])


def prefetched(root: Location, datasets: Sequence[CsvDataset], tables: Sequence[str]) -> Iterator[CsvDataset]:
    """Yield datasets one by one; of objects in a cloud, the next ones' files are prefetched."""
    files = dict.fromkeys(dataset.files[table] for dataset in datasets for table in tables if table in dataset.files)
    with root.prefetch(files, first=FIRST_BYTES, last=_LAST_BYTES):
        yield from datasets


def drop_unlabelled(root: Location, datasets: Sequence[CsvDataset], preset: Preset) -> None:
    """Remove from the datasets of combined files the tables whose label stands above no column.

    A file that cannot be read is left as it is, and is reported when the dataset is read.
    """
    for dataset in prefetched(root, datasets, preset.compartments):
        for table in [table for table in dataset.files if table != preset.image]:
            with suppress(BadDatasetError):
                labels = dataset.head(table).labels
                if labels and table not in map(str.lower, labels):
                    del dataset.files[table]
