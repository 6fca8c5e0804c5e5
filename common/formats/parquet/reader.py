"""Reading Parquet files: the rows of one part, from the row groups that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError, SourceChangedError
from pycytominer_transform.common.formats.blank_rows import only_objects
from pycytominer_transform.common.formats.parquet.columns import converted, stored_kind
from pycytominer_transform.common.formats.parquet.files import ParquetTable, open_parquet
from pycytominer_transform.common.formats.protocol import Reader
from pycytominer_transform.common.model.conversion import BadValues, arrow_type, table_of
from pycytominer_transform.common.model.manifest import Column, Manifest, Source
from pycytominer_transform.common.model.parents import image_number, object_number
from pycytominer_transform.common.runtime.messages import size
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1 << 14
_COLUMNS_AT_ONCE = 64
"""Of a row group: a page of each is in memory."""


class ParquetReader(Reader):
    """Reads the row ranges of one manifest's Parquet files."""

    def __init__(self, manifest: Manifest, max_inflate: int) -> None:
        self._manifest = manifest
        self._max_inflate = max_inflate

    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one part's rows of one file; see `Reader.read`."""
        import pyarrow as pa

        columns = self._manifest.schema_of(source.table).columns
        tables, rows_read, inflated = [table_of(columns, {}, 0)], 0, 0
        with open_parquet(file, shown) as opened:
            # Another file may have values where this one has lists.
            stored = {field.name for field in opened.schema if stored_kind(field.type) is not None}
            present = [column for column in columns if column.source in stored]
            for group in _row_groups(opened, source.row_ranges):
                table = table_of(columns, group.read(present, bad), group.rows)
                rows_read += table.num_rows
                inflated += table.nbytes
                if inflated > self._max_inflate:
                    raise DataError(
                        f"{shown}: a part of it inflates to more than {size(self._max_inflate)}; make the parts "
                        "smaller with pct-discover --part-size, or allow more with pct-extract --max-inflate"
                    )
                tables.append(self._only_objects(table, source, group, bad))
        if rows_read != source.rows:
            raise SourceChangedError(f"{shown}: {rows_read} rows where pct-discover found {source.rows}; run it again")
        return pa.concat_tables(tables)

    def _only_objects(self, table: pa.Table, source: Source, group: _RowGroup, bad: BadValues) -> pa.Table:
        """Drop and count rows without any value; refuse rows of no image set, or without an object's number."""
        preset, schema = self._manifest.preset, self._manifest.schema_of(source.table)
        number = "" if source.table == preset.image else object_number(preset, schema)
        keys = [key for key in (image_number(preset, schema), number) if key]
        kept = only_objects(table, keys, (), lambda place: f"{group.file.shown}, row {group.row_at(place)}")
        bad.blank_rows += table.num_rows - kept.num_rows
        return kept


reader = ParquetReader


@dataclass(frozen=True)
class _RowGroup:
    """The rows of one part in a row group.

    Attributes
    ----------
    first_row : int
        The number in the file of the row group's first row, from 0.
    runs : list of (int, int)
        First row of each run in the row group, from 0, and the row behind its last.
    """

    file: ParquetTable
    place: int
    first_row: int
    runs: list[tuple[int, int]]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(end - first for first, end in self.runs)

    def row_at(self, place: int) -> int:
        """Return the number in the file, from 1, of one of the rows by its place among them."""
        for first, end in self.runs:
            if place < end - first:
                return self.first_row + first + place + 1
            place -= end - first
        raise IndexError(place)

    def read(self, columns: Sequence[Column], bad: BadValues) -> dict[str, pa.ChunkedArray]:
        """Read columns by their names in the source, some of them at once, so that few pages are in memory."""
        import pyarrow as pa

        arrays: dict[str, pa.ChunkedArray] = {}
        for start in range(0, len(columns), _COLUMNS_AT_ONCE):
            some = columns[start : start + _COLUMNS_AT_ONCE]
            pieces: dict[str, list[pa.Array]] = {column.source: [] for column in some}
            for batch, runs in self._batches([*pieces]):
                for column, values in zip(some, batch.columns, strict=True):
                    pieces[column.source] += self._converted(values, runs, column, bad)
            arrays |= {
                column.source: pa.chunked_array(pieces[column.source], arrow_type(column.type)) for column in some
            }
        return arrays

    def _batches(self, names: list[str]) -> Iterator[tuple[pa.RecordBatch, list[tuple[int, int]]]]:
        """Yield the batches that hold some of the rows, and these as runs of rows in the row group."""
        first, at = 0, 0
        for batch in self.file.batches(names, _BATCH_ROWS, self.place):
            end = first + batch.num_rows
            runs = []
            while at < len(self.runs) and self.runs[at][0] < end:
                runs.append((max(self.runs[at][0], first), min(self.runs[at][1], end)))
                if self.runs[at][1] > end:
                    break
                at += 1
            if runs:
                yield _picked(batch, [(begin - first, stop - first) for begin, stop in runs]), runs
            if at == len(self.runs):
                return
            first = end

    def _converted(
        self, values: pa.Array, runs: list[tuple[int, int]], column: Column, bad: BadValues
    ) -> list[pa.Array]:
        """Convert the values of some runs of rows."""
        try:
            return [converted(values, column, self.file.shown, self.first_row + runs[0][0] + 1, bad)]
        except DataError:
            if len(runs) == 1:
                raise
        # Run by run, to name the row where the fault lies.
        pieces, start = [], 0
        for first, end in runs:
            piece = values.slice(start, end - first)
            pieces.append(converted(piece, column, self.file.shown, self.first_row + first + 1, bad))
            start += end - first
        return pieces


def _picked(batch: pa.RecordBatch, runs: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    """Return some rows of a batch: a copy, so that the others do not stay in memory."""
    import numpy as np
    import pyarrow as pa

    if [*runs] == [(0, batch.num_rows)]:
        return batch
    rows = np.concatenate([np.arange(first, end) for first, end in runs])
    columns = [
        # No rows can be taken of views.
        values.cast(pa.binary()) if str(values.type).endswith("_view") else values
        for values in batch.columns
    ]
    return pa.record_batch([values.take(rows) for values in columns], batch.schema.names)


def _row_groups(file: ParquetTable, row_ranges: Sequence[tuple[int, int]]) -> Iterator[_RowGroup]:
    """Yield the row groups that hold rows of some ranges, given by first and last row from 0, ascending."""
    at = 0
    for place, (start, end) in enumerate(pairwise(file.row_group_starts)):
        runs = []
        while at < len(row_ranges) and row_ranges[at][0] < end:
            first, last = row_ranges[at]
            runs.append((max(first, start) - start, min(last + 1, end) - start))
            if last + 1 > end:
                break
            at += 1
        if runs:
            yield _RowGroup(file, place, start, runs)
