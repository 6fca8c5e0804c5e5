"""Reading parts: many files at once on threads, the next part while the last one is being written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.arrays import empty_table, repeated
from pycytominer_transform.common.bundle_schema import bundle_schema
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.conversion import BadValues, OnBadValue, arrow_type
from pycytominer_transform.common.csv_files import DEFAULT_MAX_INFLATE
from pycytominer_transform.common.csv_layout import combined_table
from pycytominer_transform.common.csv_reader import CsvReader, csv_reader
from pycytominer_transform.common.disagreements import Disagreements
from pycytominer_transform.common.errors import SourceChangedError, SourceNotFoundError
from pycytominer_transform.common.manifest import Manifest, Source, held_as
from pycytominer_transform.common.naming import DATASET, TABLE_NUMBER
from pycytominer_transform.common.npz_reader import read_npz
from pycytominer_transform.common.path_metadata import merged_with_path, typed_path_values
from pycytominer_transform.common.place import Place, local_path
from pycytominer_transform.common.sqlite_reader import read_sqlite
from pycytominer_transform.common.tree import fingerprint, resolve

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class PartTables:
    """The tables of one part, one row per image set or object; what became of bad values; where paths say otherwise."""

    part: int
    tables: dict[str, pa.Table]
    bad: BadValues
    disagreements: Disagreements


@dataclass
class _ReadSource:
    """The same of one source: its columns as they come, and what the tools add to each row, by the column's name."""

    table: pa.Table
    own: dict[str, str | int | float | None]
    bad: BadValues
    disagreements: Disagreements


class PartReader:
    """Reads the parts of a manifest, ascending, on a pool of threads.

    Parameters
    ----------
    manifest : Manifest
        What there is to read.
    place : Path or CloudPlace
        Where the source lies now.
    on_bad_value : {'fail', 'null'}
        What to do with texts in number columns.
    threads : int
        How many files to read at once.
    max_inflate : int
        Bytes that a compressed file may inflate to.
    """

    def __init__(
        self, manifest: Manifest, *, place: Place, on_bad_value: OnBadValue, threads: int,
        max_inflate: int = DEFAULT_MAX_INFLATE,
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._root = place
        if isinstance(place, Path) and not place.exists():
            raise SourceNotFoundError(f"the source {self._root} is not there; --source says where it lies now")
        self._on_bad_value = on_bad_value
        self._threads = threads
        self._max_inflate = max_inflate
        self._csv_readers: dict[str, CsvReader] = {}
        self._schemas = {schema.table: bundle_schema(manifest, schema) for schema in manifest.tables}
        images = [
            column for schema in manifest.tables if schema.table == manifest.preset.image for column in schema.columns
        ]
        paths = {column.name: held_as(column, images) for column in manifest.path_columns}
        self._held = {name: own for name, own in paths.items() if own is not None}
        if (preset := manifest.preset).format == "csv":
            self._csv_readers = {
                schema.table: csv_reader(
                    schema,
                    max_inflate=max_inflate,
                    empty_text=preset.empty_text,
                    combined=combined_table(schema.table, preset),
                )
                for schema in manifest.tables
            }

    def parts(self, numbers: Sequence[int]) -> Iterator[PartTables]:
        """Read parts one after the other, each a step ahead of when it is asked for.

        Raises
        ------
        SourceChangedError
            A file is no longer the one that the manifest describes.
        DataError, StorageError
            See `CsvReader.read` and `read_sqlite`.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="read") as pool:
            ahead: list[tuple[int, list[Future[_ReadSource]]]] = []
            try:
                for number in [*numbers, 0]:
                    if number:
                        sources = self._manifest.sources_of(number)
                        ahead.append((number, [pool.submit(self._read, source) for source in sources]))
                    if len(ahead) > 1 or (ahead and not number):
                        yield self._collect(*ahead.pop(0))
            finally:
                for _, futures in ahead:
                    for future in futures:
                        future.cancel()

    def _collect(self, number: int, futures: list[Future[_ReadSource]]) -> PartTables:
        bad, disagreements = BadValues(self._on_bad_value), Disagreements()
        read: dict[str, list[_ReadSource]] = {schema.table: [] for schema in self._manifest.tables}
        try:
            # Not one by one: each time the other threads would have to wait for this one.
            wait(futures, return_when=FIRST_EXCEPTION)
            for source, future in zip(self._manifest.sources_of(number), futures, strict=True):
                found = future.result()
                bad.add(found.bad)
                disagreements.add(found.disagreements)
                read[source.table].append(found)
        finally:
            for future in futures:
                future.cancel()
        return PartTables(number, {name: self._table(name, found) for name, found in read.items()}, bad, disagreements)

    def _table(self, name: str, found: Sequence[_ReadSource]) -> pa.Table:
        """Put sources below each other; with hundreds of columns this takes as long for one as for all of them."""
        import pyarrow as pa

        if not found:
            return empty_table(self._schemas[name])
        columns = pa.concat_tables([source.table for source in found]).columns
        rows = [source.table.num_rows for source in found]
        for column in self._manifest.own_columns(self._manifest.schema_of(name)):
            columns.append(repeated([source.own.get(column.name) for source in found], rows, arrow_type(column.type)))
        return pa.table(columns, schema=self._schemas[name])

    def _read(self, source: Source) -> _ReadSource:
        bad = BadValues(self._on_bad_value)
        path = self._file(source)
        shown = source.path if source.path != "." else path.name
        self._check_unchanged(path, shown, source)
        schema = self._manifest.schema_of(source.table)
        if source.format == "csv":
            table = self._csv_readers[source.table].read(path, shown, bad)
        elif source.format == "npz":
            table = read_npz(path, shown, source, schema, bad, max_inflate=self._max_inflate)
        else:
            table = read_sqlite(local_path(path), shown, source, schema, bad)
        self._check_unchanged(path, shown, source)
        disagreements = Disagreements()
        if source.table == self._manifest.preset.image:
            table = table.rename_columns([column.name for column in schema.columns])
            table = merged_with_path(table, self._held, source.path_values, source.dataset, disagreements)
        own = typed_path_values(source.path_values, self._manifest.path_columns)
        own |= {DATASET: source.dataset, TABLE_NUMBER: source.table_number}
        return _ReadSource(table, own, bad, disagreements)

    def _file(self, source: Source) -> Place:
        file = resolve(self._root, source.path)
        return file.as_recorded(source.fingerprint) if isinstance(file, CloudPlace) else file

    @staticmethod
    def _check_unchanged(path: Place, shown: str, source: Source) -> None:
        if isinstance(path, CloudPlace):
            return  # Each request names the ETag.
        _, now = fingerprint(path)
        if now != source.fingerprint:
            raise SourceChangedError(
                f"{shown}: its size or time of modification has changed since pct-discover looked at it; run that again"
                " (a copy keeps its time with cp -p or rsync -t)"
            )
