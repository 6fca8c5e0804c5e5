"""Reading parts: many files at once on threads, the next part while the last one is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.arrays import empty_table, repeated
from pycytominer_transform.common.bundle_schema import bundle_schema
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.conversion import BadValues, OnBadValue, arrow_type
from pycytominer_transform.common.csv_files import DEFAULT_MAX_INFLATE, is_packed
from pycytominer_transform.common.csv_layout import combined_table
from pycytominer_transform.common.csv_reader import MOST_TOGETHER, CsvReader, csv_reader
from pycytominer_transform.common.disagreements import Disagreements
from pycytominer_transform.common.errors import PctError, SourceChangedError, SourceNotFoundError
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
class _Read:
    """The same of sources of one table: their columns as they come, one source's rows below another's.

    Attributes
    ----------
    rows : list of int
        How many of the rows are each source's.
    own : list of dict
        What the tools add to the rows of each source, by the column's name.
    """

    name: str
    table: pa.Table
    rows: list[int]
    own: list[dict[str, str | int | float | None]]
    bad: BadValues
    disagreements: Disagreements


class _Here(Executor):
    """Does what it is given at once, on the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


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
        with self._pool(len(numbers)) as pool:
            ahead: list[tuple[int, list[Future[list[_Read]]]]] = []
            try:
                for number in [*numbers, 0]:
                    if number:
                        groups = self._groups(self._manifest.sources_of(number))
                        ahead.append((number, [pool.submit(self._read, group) for group in groups]))
                    if len(ahead) > 1 or (ahead and not number):
                        yield self._collect(*ahead.pop(0))
            finally:
                for _, futures in ahead:
                    for future in futures:
                        future.cancel()

    def _pool(self, parts: int) -> Executor:
        # One thread can have nothing ready when one part is all that there is.
        alone = self._threads == parts == 1
        return _Here() if alone else ThreadPoolExecutor(self._threads, thread_name_prefix="read")

    def _groups(self, sources: Sequence[Source]) -> list[list[Source]]:
        """Say which sources to read together: small CSV files of one table, so many that every thread has some."""
        if not self._csv_readers or isinstance(self._root, CloudPlace):
            return [[source] for source in sources]
        most = min(MOST_TOGETHER, sum(source.bytes for source in sources) // self._threads)
        groups: dict[str, list[list[Source]]] = {schema.table: [] for schema in self._manifest.tables}
        room = dict.fromkeys(groups, 0)
        for source in sources:
            # Nothing goes with a gzipped file.
            size = most + 1 if is_packed(PurePosixPath(source.path)) else source.bytes
            if not groups[source.table] or size > room[source.table]:
                groups[source.table].append([])
                room[source.table] = most
            groups[source.table][-1].append(source)
            room[source.table] -= size
        return [group for of_table in groups.values() for group in of_table]

    def _collect(self, number: int, futures: list[Future[list[_Read]]]) -> PartTables:
        bad, disagreements = BadValues(self._on_bad_value), Disagreements()
        read: dict[str, list[_Read]] = {schema.table: [] for schema in self._manifest.tables}
        try:
            # Not one by one: each time the other threads would have to wait for this one.
            wait(futures, return_when=FIRST_EXCEPTION)
            for found in (found for future in futures for found in future.result()):
                bad.add(found.bad)
                disagreements.add(found.disagreements)
                read[found.name].append(found)
        finally:
            for future in futures:
                future.cancel()
        return PartTables(number, {name: self._table(name, found) for name, found in read.items()}, bad, disagreements)

    def _table(self, name: str, found: Sequence[_Read]) -> pa.Table:
        """Put sources below each other; with hundreds of columns this takes as long for one as for all of them."""
        import pyarrow as pa

        if not found:
            return empty_table(self._schemas[name])
        columns = pa.concat_tables([read.table for read in found]).columns
        rows = [number for read in found for number in read.rows]
        own = [values for read in found for values in read.own]
        for column in self._manifest.own_columns(self._manifest.schema_of(name)):
            columns.append(repeated([values.get(column.name) for values in own], rows, arrow_type(column.type)))
        return pa.table(columns, schema=self._schemas[name])

    def _read(self, sources: Sequence[Source]) -> list[_Read]:
        """Read sources of one table, together where that gives what reading them one by one would give."""
        together = self._read_together(sources) if len(sources) > 1 else None
        return [together] if together is not None else list(map(self._read_one, sources))

    def _read_together(self, sources: Sequence[Source]) -> _Read | None:
        paths = [local_path(self._file(source)) for source in sources]
        try:
            self._check_unchanged(paths, sources)
            read = self._csv_readers[sources[0].table].read_together(paths)
            self._check_unchanged(paths, sources)
        except (OSError, PctError):
            return None  # Which of them it was is said when they are read one by one.
        return self._as_read(*read, sources, BadValues(self._on_bad_value)) if read is not None else None

    def _read_one(self, source: Source) -> _Read:
        bad = BadValues(self._on_bad_value)
        path = self._file(source)
        shown = source.path if source.path != "." else path.name
        self._check_unchanged([path], [source])
        if source.format == "csv":
            table = self._csv_readers[source.table].read(path, shown, bad)
        elif source.format == "npz":
            schema = self._manifest.schema_of(source.table)
            table = read_npz(path, shown, source, schema, bad, max_inflate=self._max_inflate)
        else:
            table = read_sqlite(local_path(path), shown, source, self._manifest.schema_of(source.table), bad)
        self._check_unchanged([path], [source])
        return self._as_read(table, [table.num_rows], [source], bad)

    def _as_read(self, table: pa.Table, rows: Sequence[int], sources: Sequence[Source], bad: BadValues) -> _Read:
        """Add to what was read what paths and the manifest say of it."""
        import pyarrow as pa

        disagreements = Disagreements()
        name = sources[0].table
        if name == self._manifest.preset.image:
            table = table.rename_columns([column.name for column in self._manifest.schema_of(name).columns])
            if self._held:
                each = zip(sources, accumulate([0, *rows]), rows, strict=False)
                table = pa.concat_tables(
                    merged_with_path(
                        table.slice(first, number), self._held, source.path_values, source.dataset, disagreements
                    )
                    for source, first, number in each
                )
        own = [
            typed_path_values(source.path_values, self._manifest.path_columns)
            | {DATASET: source.dataset, TABLE_NUMBER: source.table_number}
            for source in sources
        ]
        return _Read(name, table, [*rows], own, bad, disagreements)

    def _file(self, source: Source) -> Place:
        file = resolve(self._root, source.path)
        return file.as_recorded(source.fingerprint) if isinstance(file, CloudPlace) else file

    @staticmethod
    def _check_unchanged(paths: Sequence[Place], sources: Sequence[Source]) -> None:
        for path, source in zip(paths, sources, strict=True):
            if isinstance(path, CloudPlace):
                continue  # Each request names the ETag.
            _, now = fingerprint(path)
            if now != source.fingerprint:
                shown = source.path if source.path != "." else path.name
                raise SourceChangedError(
                    f"{shown}: its size or time of modification has changed since pct-discover looked at it; run that"
                    " again (a copy keeps its time with cp -p or rsync -t)"
                )
