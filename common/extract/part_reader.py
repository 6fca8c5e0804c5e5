"""Reading parts: many files at once on threads, the next part while the last one is being written."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import (
    DataError,
    PctError,
    SourceChangedError,
    SourceNotFoundError,
    StorageError,
)
from pycytominer_transform.common.extract.cell_ids import CellIds
from pycytominer_transform.common.extract.path_comparison import Disagreements, filled_from_path, typed_path_values
from pycytominer_transform.common.formats.csv.files import is_packed
from pycytominer_transform.common.formats.registry import reader_of
from pycytominer_transform.common.ipc.bundle import bundle_schema
from pycytominer_transform.common.model.conversion import BadValues, OnBadValue, arrow_type
from pycytominer_transform.common.model.manifest import Manifest, Source, held_as
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, TABLE_NUMBER
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.runtime.messages import size as shown_size
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class PartTables:
    """The tables of one part, or of some of its files, with bad values and disagreements counted.

    Attributes
    ----------
    tables : dict
        By name, one row per image set or object.
    left_out : dict
        By bad dataset, why its tables are not there.
    """

    part: int
    tables: dict[str, pa.Table]
    bad: BadValues
    disagreements: Disagreements = field(default_factory=Disagreements)
    left_out: dict[str, PctError] = field(default_factory=dict)


class PartReader:
    """Reads the parts of a manifest, ascending, on a pool of threads.

    Parameters
    ----------
    manifest : Manifest
        The parts and their files.
    place : Location
        The source's current place.
    on_bad_value : {'fail', 'null'}
        What to do with texts in number columns.
    threads : int
        Number of files to read at once.
    max_inflate : int
        Bytes that a compressed file, and that all compressed files of a part, may inflate to.

    Raises
    ------
    SourceNotFoundError
        The source is not at `place`.
    """

    def __init__(
        self, manifest: Manifest, *, place: Location, on_bad_value: OnBadValue, threads: int, max_inflate: int
    ) -> None:
        if isinstance(place, Path) and not place.exists():
            raise SourceNotFoundError(f"the source {place} is not there; --source says where it lies now")
        self._manifest = manifest
        self._root = place
        self._on_bad_value = on_bad_value
        self._threads = threads
        self._reader = reader_of(manifest.preset.format, manifest, max_inflate)
        self._max_inflate = max_inflate
        self._inflated = Counter[int]()
        self._lock = Lock()
        self._schemas = {schema.table: bundle_schema(manifest, schema) for schema in manifest.tables}
        self._cell_ids = CellIds.of(manifest) if manifest.makes_cell_ids else None
        images = [
            column for schema in manifest.tables if schema.table == manifest.preset.image for column in schema.columns
        ]
        columns = {column.name: held_as(column.name, images) for column in manifest.path_columns}
        self._image_columns = {name: column for name, column in columns.items() if column is not None}

    def parts(self, numbers: Sequence[int]) -> Iterator[PartTables]:
        """Read parts one after the other; each begins to be read before it is asked for.

        Where the manifest says so, a dataset with a fault is left out of its part, with all its tables.

        Raises
        ------
        SourceChangedError
            A file is no longer the one that the manifest describes.
        DataError, StorageError
            See `Reader.read`.
        """
        if self._threads == 1:
            # Not on a thread for each part: those leave memory behind, as much again as a flow's parts take.
            for number in numbers:
                yield self._good_datasets(self._read_part(number, self._manifest.sources_of(number)), self._read_part)
            return
        with ThreadPoolExecutor(self._threads, thread_name_prefix="read") as pool:
            submitted: deque[tuple[int, list[Future[PartTables]]]] = deque()

            def submit(sources: Sequence[Source]) -> list[Future[PartTables]]:
                return [pool.submit(self._read, batch) for batch in self._batches(sources)]

            def read_again(number: int, sources: Sequence[Source]) -> PartTables:
                return self._collect(number, submit(sources))

            try:
                for number in numbers:
                    submitted.append((number, submit(self._manifest.sources_of(number))))
                    if len(submitted) > 1:
                        yield self._good_datasets(self._collect(*submitted.popleft()), read_again)
                if submitted:
                    yield self._good_datasets(self._collect(*submitted.popleft()), read_again)
            finally:
                for _, futures in submitted:
                    for future in futures:
                        future.cancel()

    def _batches(self, sources: Sequence[Source]) -> list[list[Source]]:
        if not self._root.reads_small_files_together:
            return [[source] for source in sources]
        return self._reader.batches(sources, self._threads)

    def _good_datasets(self, part: PartTables, read: Callable[[int, Sequence[Source]], PartTables]) -> PartTables:
        """Return a part, read again without its bad datasets, so that nothing of them is counted."""
        number = part.part
        left_out: dict[str, PctError] = {}
        while part.left_out:
            for dataset, error in part.left_out.items():
                logger.warning("part %d goes on without dataset %s: %s", number, dataset, error)
            left_out |= part.left_out
            part.tables.clear()
            del self._inflated[number]
            part = read(number, [one for one in self._manifest.sources_of(number) if one.dataset not in left_out])
        part.left_out = left_out
        return part

    def _read_part(self, number: int, sources: Sequence[Source]) -> PartTables:
        return self._collected(number, map(self._read, self._batches(sources)))

    def _collect(self, number: int, futures: list[Future[PartTables]]) -> PartTables:
        try:
            # Not one by one: each time the other threads would have to wait for this one.
            wait(futures, return_when=FIRST_EXCEPTION)
            return self._collected(number, [future.result() for future in futures])
        finally:
            for future in futures:
                future.cancel()

    def _collected(self, number: int, batches: Iterable[PartTables]) -> PartTables:
        """Concatenate the tables of a part's batches, all at once, which takes no longer than for two."""
        import pyarrow as pa

        part = PartTables(number, {}, BadValues(self._on_bad_value))
        tables: dict[str, list[pa.Table]] = {name: [] for name in self._schemas}
        for batch in batches:
            part.bad.add(batch.bad)
            part.disagreements.add(batch.disagreements)
            part.left_out = batch.left_out | part.left_out
            for name, table in batch.tables.items():
                tables[name].append(table)
        for name, read in tables.items():
            part.tables[name] = pa.concat_tables(read) if read else self._schemas[name].empty_table()
        if self._cell_ids and tables[self._cell_ids.anchor]:
            objects = part.tables[self._cell_ids.anchor]
            ids = self._cell_ids.of_objects(objects, part.tables)
            part.tables[self._cell_ids.anchor] = objects.append_column(CELL_ID, ids)
        part.tables = {name: pa.table(table.columns, schema=self._schemas[name]) for name, table in part.tables.items()}
        return part

    def _read(self, sources: Sequence[Source]) -> PartTables:
        """Read a batch of one table, together where that gives the same as reading its files one by one."""
        import pyarrow as pa

        batch = PartTables(sources[0].part, {}, BadValues(self._on_bad_value))
        together = self._read_together(sources) if len(sources) > 1 else None
        if together is not None:
            table = self._with_own_columns(*together, sources, batch.disagreements)
        else:
            tables = []
            for source in sources:
                try:
                    tables.append(self._read_one(source, batch))
                except (DataError, StorageError) as error:
                    if not self._may_leave_out(error):
                        raise
                    batch.left_out.setdefault(source.dataset, error)
            if batch.left_out:
                return batch
            table = pa.concat_tables(tables)
        batch.tables[sources[0].table] = table
        return batch

    def _may_leave_out(self, error: DataError | StorageError) -> bool:
        """Return whether a fault lies in a file, and the manifest says to go on without its dataset."""
        is_of_file = isinstance(error, DataError) or (
            isinstance(error.__cause__, (FileNotFoundError, PermissionError)) and self._root.exists()
        )
        return self._manifest.on_bad_dataset == "skip" and is_of_file

    def _read_together(self, sources: Sequence[Source]) -> tuple[pa.Table, list[int]] | None:
        files = [self._file(source) for source in sources]
        try:
            self._check_unchanged(files, sources)
            read = self._reader.read_together(sources, files)
            self._check_unchanged(files, sources)
        except (OSError, PctError):
            return None  # Reading them one by one says which of them it was.
        return read

    def _read_one(self, source: Source, batch: PartTables) -> pa.Table:
        file = self._file(source)
        self._check_unchanged([file], [source])
        table = self._reader.read(source, file, source.path if source.path != "." else file.name, batch.bad)
        self._check_unchanged([file], [source])
        if source.format == "npz" or is_packed(file):
            self._check_inflated(source.part, table.nbytes)
        return self._with_own_columns(table, [table.num_rows], [source], batch.disagreements)

    def _check_inflated(self, part: int, size: int) -> None:
        """Add the values of a compressed file to those of its part, all of which are in memory together."""
        with self._lock:
            self._inflated[part] += size
        if self._inflated[part] > self._max_inflate:
            raise DataError(
                f"part {part}: its compressed files inflate to more than {shown_size(self._max_inflate)}; make the "
                "parts smaller with pct-discover --part-size, or allow more with pct-extract --max-inflate"
            )

    def _with_own_columns(
        self, table: pa.Table, rows: Sequence[int], sources: Sequence[Source], disagreements: Disagreements
    ) -> pa.Table:
        """Append the columns that the tools add: the values that the manifest has for each source."""
        import pyarrow as pa

        schema = self._manifest.schema_of(sources[0].table)
        if schema.table == self._manifest.preset.image and self._image_columns:
            each = zip(sources, accumulate([0, *rows]), rows, strict=False)
            table = pa.concat_tables(
                filled_from_path(table.slice(first, number), self._image_columns, source, disagreements)
                for source, first, number in each
            )
        own = [
            typed_path_values(source.path_values, self._manifest.path_columns)
            | {DATASET: self._manifest.dataset_name(source), TABLE_NUMBER: source.table_number}
            for source in sources
        ]
        for column in (column for column in self._manifest.own_columns(schema) if column.name != CELL_ID):
            kind = arrow_type(column.type)
            repeated = [
                pa.repeat(pa.scalar(values.get(column.name), kind), number)
                for values, number in zip(own, rows, strict=True)
            ]
            table = table.append_column(column.name, pa.concat_arrays(repeated))
        return table

    def _file(self, source: Source) -> Location:
        return (self._root / source.path).at_version(source.fingerprint)

    @staticmethod
    def _check_unchanged(paths: Sequence[Location], sources: Sequence[Source]) -> None:
        for path, source in zip(paths, sources, strict=True):
            if path.is_changed_since(source.fingerprint):
                shown = source.path if source.path != "." else path.name
                raise SourceChangedError(
                    f"{shown}: its size or time of modification has changed since pct-discover looked at it; run that"
                    " again (a copy keeps its time with cp -p or rsync -t)"
                )
