"""What lies in a source of Parquet files: folders with a file for each table, or files that are a dataset each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import BadDatasetError, DataError, StorageError
from pycytominer_transform.common.formats.folder_datasets import Exports, FolderDataset, find_folder_datasets
from pycytominer_transform.common.formats.image_sets import ImageSetRows, cut_into_parts
from pycytominer_transform.common.formats.parquet.columns import ParquetSample, stored_kind
from pycytominer_transform.common.formats.parquet.files import (
    SUFFIX,
    ParquetTable,
    find_parquet_files,
    is_parquet,
    is_parquet_name,
    open_parquet,
)
from pycytominer_transform.common.formats.parquet.image_sets import column_of, find_image_sets
from pycytominer_transform.common.formats.protocol import Layout
from pycytominer_transform.common.formats.samples import names_well_or_site, wells_and_sites
from pycytominer_transform.common.formats.source_layout import (
    DatasetTable,
    SourceLayout,
    choose_tables,
    default_compartments,
)
from pycytominer_transform.common.formats.table_names import only_exports, table_matcher
from pycytominer_transform.common.model.column_types import names_count, names_metadata
from pycytominer_transform.common.model.discovery_options import DiscoverOptions
from pycytominer_transform.common.model.naming import listed, table_prefix
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.runtime.messages import count, logger, progress
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.repeated_datasets import find_repeated, is_repeated
from pycytominer_transform.common.storage.tree import Folder, checked_name

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE_ROWS = 50
_MOST_IMAGES = 1 << 20
"""Rows of an image table whose wells and sites are compared."""
_VALUE_BYTES = 8
_FIRST_BYTES, _LAST_BYTES = 1 << 12, 1 << 16


class _Dataset(FolderDataset):
    """One folder of tables, or one file."""

    def schemas(self, tables: Sequence[str]) -> dict[str, pa.Schema]:
        """Return the schemas of those files that can be read."""
        found = {}
        for table in (table for table in tables if table in self.files):
            if (schema := _schema_of(self.root, self.files[table])) is not None:
                found[table] = schema
        return found


class ParquetLayout(Layout):
    """Folders with a file for each table, or files that are a dataset each."""

    is_output = True

    def fits(self, root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str]) -> bool:
        """Return whether a source has a folder with a preset's tables, or a file with its signs."""
        if preset.is_single_table:
            if not root.is_dir():
                return is_parquet(root) and _has_signs(_read_schema(root, root.name), preset)
            schemas = (_schema_of(root, relative) for relative in find_parquet_files(root, tree))
            return any(schema is not None and _has_signs(schema, preset) for schema in schemas)
        if not root.is_dir():
            return False
        tables = [*default_compartments(preset), *compartments]
        return any(_is_recognised(dataset, preset) for dataset in _find_folders(root, tree, preset, tables))

    def lone_file_fault(self, file: Location) -> str:
        """Return nothing: recognition knows such files by their names."""
        return ""

    def survey(self, root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> SourceLayout:
        """Find the rows of each image set, and cut all datasets into parts; see `Layout.survey`."""
        datasets = (
            _find_files(root, tree, preset) if preset.is_single_table else _find_tables(root, tree, preset, options)
        )
        tables = choose_tables(preset, options, [set(dataset.files) for dataset in datasets])
        samples = {table: ParquetSample(table, keeps_ids=len(datasets) == 1) for table in tables}
        keeps_names = preset.column_names == "kept"
        layout = SourceLayout(samples=dict(samples), prefix_of=lambda table: "" if keeps_names else table_prefix(table))
        repeated = find_repeated(root, {d.name: {file: True for file in d.files.values()} for d in datasets})
        files = [dataset.files[table] for dataset in datasets for table in tables if table in dataset.files]
        with root.prefetch(files, first=_FIRST_BYTES, last=_LAST_BYTES):
            for number, dataset in enumerate(datasets, start=1):
                progress("looking at datasets", number, len(datasets))
                with layout.dataset(options, len(datasets)):
                    if not is_repeated(dataset.name, repeated):
                        _add(layout, dataset, samples, preset, options)
        return layout


layout = ParquetLayout()


def _has_signs(schema: pa.Schema, preset: Preset) -> bool:
    columns = dict.fromkeys(schema.names, "")
    return all(sign.is_among(columns) for sign in preset.signs)


def _schema_of(root: Location, relative: str) -> pa.Schema | None:
    """Return the schema of a file; None if it cannot be read."""
    with suppress(DataError, StorageError):
        return _read_schema(root / relative, relative)
    return None


def _read_schema(path: Location, shown: str) -> pa.Schema:
    with open_parquet(path, shown) as file:
        return file.schema


def _is_recognised(dataset: _Dataset, preset: Preset) -> bool:
    """Return whether the tables of a folder are a preset's: two of them or more, with its keys, and its columns.

    Where none can be read, the first preset takes them, to report why.
    """
    tables = [table for table in dataset.files if table != preset.image]
    if not tables or len(dataset.files) < 2:
        return False
    schemas = dataset.schemas(tables)
    if any(_missing_keys(table, schema.names, preset) for table, schema in schemas.items()):
        return False
    if not schemas:
        return not preset.has_prefixed_columns
    is_prefixed = any(name.startswith(f"{table_prefix(table)}_") for table in schemas for name in schemas[table].names)
    return is_prefixed == preset.has_prefixed_columns


def _missing_keys(table: str, columns: Sequence[str], preset: Preset) -> list[str]:
    if preset.is_single_table:
        return []
    keys = [preset.image_number]
    if table != preset.image:
        keys.append(preset.object_number_of(table_prefix(table)))
    return [key for key in keys if not column_of(key, columns)]


def _find_folders(
    root: Location, tree: Sequence[Folder], preset: Preset, compartments: Sequence[str], prefix: str = ""
) -> list[_Dataset]:
    """Find the exports of a tree: in each folder the files named after tables, by what stands before these names."""
    match = table_matcher(preset, list(dict.fromkeys((preset.image, *compartments))))

    def exports_of(names: Sequence[str]) -> Exports:
        exports: Exports = {}
        for name in sorted(filter(is_parquet_name, names)):
            before, tables = match(name[: -len(SUFFIX)])
            for table in tables:
                exports.setdefault(before, {}).setdefault(table, []).append(name)
        return only_exports(exports, preset.image)

    return find_folder_datasets(tree, exports_of, partial(_Dataset, root), prefix)


def _find_tables(root: Location, tree: Sequence[Folder], preset: Preset, options: DiscoverOptions) -> list[_Dataset]:
    """Find the datasets that have tables of objects.

    Raises
    ------
    DataError
        There are none.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is one file; give the folder that its tables lie in")
    compartments = options.compartments or default_compartments(preset)
    found = [
        dataset
        for dataset in _find_folders(root, tree, preset, compartments, options.prefix)
        if {*dataset.files} - {preset.image}
    ]
    if not found:
        raise DataError(f"{root}: no Parquet file is named after a table {listed(compartments)}")
    if prefixes := sorted({dataset.prefix for dataset in found if dataset.prefix}):
        logger.info("the files' names begin with %s", listed(prefixes))
    return found


def _find_files(root: Location, tree: Sequence[Folder], preset: Preset) -> list[_Dataset]:
    """Find the files that have the preset's signs, or cannot be read.

    Raises
    ------
    DataError
        There are none.
    """
    table = preset.compartments[0]
    names = {name: root.name if name == "." else name for name in find_parquet_files(root, tree)}
    schemas = {name: _schema_of(root, name) for name in names}
    others = [name for name, schema in schemas.items() if schema is not None and not _has_signs(schema, preset)]
    found = [_Dataset(root, checked_name(shown), {table: name}) for name, shown in names.items() if name not in others]
    if not found:
        raise DataError(f"{root}: no Parquet file has the columns {listed([sign.column for sign in preset.signs])}")
    if others:
        logger.warning("passed over %s of another kind: %s", count(len(others), "Parquet file"), listed(others))
    return found


def _add(
    layout: SourceLayout, dataset: _Dataset, samples: Mapping[str, ParquetSample], preset: Preset,
    options: DiscoverOptions,
) -> None:  # fmt: skip
    """Add a dataset to a layout.

    Raises
    ------
    BadDatasetError
        A table or a key is missing, or a file is damaged.
    """
    dataset.check_files(samples)
    tables = {table: _read_table(dataset, table, preset, sample) for table, sample in samples.items()}
    for table, found in tables.items():
        layout.report_notes(found.notes)
        samples[table].add_file(found.schema, found.sample)
    if preset.image in tables:
        image = tables[preset.image]
        layout.has_folders_of_several_image_sets |= sum(image.rows.rows_of.values()) > 1
        if image.wells is not None:
            layout.image_sets[dataset.name] = image.wells
    size = sum(found.inflated for found in tables.values())
    rows = {table: found.rows for table, found in tables.items()}
    parts = [
        [
            DatasetTable(
                dataset=dataset.name, table=table, path=dataset.files[table], rows=part.rows_of(table),
                bytes=found.share_of(part.rows_of(table)), fingerprint=found.fingerprint,
                row_ranges=part.runs_of(table),
            )
            for table, found in tables.items()
        ]
        for part in cut_into_parts(rows, preset, size, options.part_size)
    ]  # fmt: skip
    if len(parts) == 1:
        layout.add(dataset.name, parts[0], size, options.part_size)
    else:
        layout.add_parts(dataset.name, parts, options.part_size)


@dataclass(frozen=True)
class _Table:
    """One file.

    Attributes
    ----------
    schema : pyarrow.Schema
        Its columns that are read.
    sample : list of tuple
        Some of its rows.
    wells : list of dict, optional
        What an image table says of the plate, well and site of each image set, if it is not large.
    notes : list of str
        What is passed over.
    """

    schema: pa.Schema
    sample: list[tuple[object, ...]]
    rows: ImageSetRows
    wells: list[dict[str, str]] | None
    bytes: int
    fingerprint: str
    notes: list[str]

    @property
    def inflated(self) -> int:
        """About how many bytes all of its values are in memory."""
        return sum(self.rows.rows_of.values()) * len(self.schema) * _VALUE_BYTES

    def share_of(self, rows: int) -> int:
        """Return the bytes of the file that some of its rows have, about."""
        return self.bytes * rows // max(sum(self.rows.rows_of.values()), 1)


def _read_table(dataset: _Dataset, table: str, preset: Preset, sample: ParquetSample) -> _Table:
    """Read the footer of a file, the numbers of its image sets, and a sample of its rows.

    Raises
    ------
    BadDatasetError
        The file is damaged, or has no key column.
    """
    path, shown = dataset.root / dataset.files[table], dataset.shown(table)
    if path.exists() and not path.is_file():
        raise BadDatasetError(f"{shown}: is no regular file")
    size, mark = path.fingerprint()
    with open_parquet(path, shown) as file:
        whole = file.schema
        schema = whole.empty_table().select([f.name for f in whole if stored_kind(f.type) is not None]).schema
        if nested := [name for name in whole.names if name not in schema.names]:
            note = f"table {table}: passed over {count(len(nested), 'column')} of lists or the like: {listed(nested)}"
        if preset.is_single_table and not _has_signs(schema, preset):
            raise BadDatasetError(
                f"{shown}: no column {listed([sign.column for sign in preset.signs])} of plain values"
            )
        if absent := _missing_keys(table, schema.names, preset):
            raise BadDatasetError(f"{shown}: no column {listed(absent)} of numbers; is it a {table} table?")
        rows = find_image_sets(file, table, schema.names, preset, may_cut=sample.keeps_ids_of(schema.names))
        return _Table(
            schema, _sample(file, schema), rows, _wells(file, schema) if table == preset.image else None, size, mark,
            [note] if nested else [],
        )  # fmt: skip


def _sample(file: ParquetTable, schema: pa.Schema) -> list[tuple[object, ...]]:
    """Return the first rows; only metadata and counts have values, since what is stored says the types of others."""
    names = [field.name for field in schema if names_metadata(field.name) or names_count(field.name)]
    batch = next(file.batches(names, _SAMPLE_ROWS), None) if names else None
    if batch is None:
        return []
    values = batch.to_pydict()
    return list(zip(*(_plain(values.get(name, [None] * batch.num_rows)) for name in schema.names), strict=True))


def _wells(file: ParquetTable, schema: pa.Schema) -> list[dict[str, str]] | None:
    """Return the values of plate, well and site in each row of an image table; None if it is large."""
    rows = file.row_group_starts[-1]
    if rows > _MOST_IMAGES:
        return None
    names = [name for name in schema.names if names_well_or_site(name)]
    if not names:
        return [{}] * rows
    batches = file.batches(names, _MOST_IMAGES)
    return [well for batch in batches for well in wells_and_sites(names, zip(*batch.to_pydict().values(), strict=True))]


def _plain(values: Sequence[object]) -> list[object]:
    """Return numbers, texts and bytes as they are, and other values as texts."""
    return [value if value is None or isinstance(value, int | float | str | bytes) else str(value) for value in values]
