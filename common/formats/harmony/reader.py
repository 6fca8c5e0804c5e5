"""Reading object lists: the rows of one part, by the bytes that `pct-discover` found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.errors import BadDatasetError, DataError, SourceChangedError, describe_os_error
from pycytominer_transform.common.formats.csv.table_reader import CsvRows, CsvTableReader
from pycytominer_transform.common.formats.harmony.columns import COLUMN, OBJECT, ROW, WELL_SOURCE, well_of
from pycytominer_transform.common.formats.harmony.head import DELIMITER, ObjectListHead, read_head
from pycytominer_transform.common.formats.protocol import Reader
from pycytominer_transform.common.model.column_types import names_metadata
from pycytominer_transform.common.model.conversion import BadValues, convert_values
from pycytominer_transform.common.model.manifest import Column, Manifest, Source, TableSchema
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 1 << 20


class HarmonyReader(Reader):
    """Reads the object lists of one manifest."""

    def __init__(self, manifest: Manifest, max_inflate: int) -> None:
        self._schemas = {schema.table: schema for schema in manifest.tables}
        self._readers = {
            schema.table: CsvTableReader(
                _of_file(schema), keys=(ROW, COLUMN, OBJECT), empty_text=manifest.preset.empty_text,
                is_metadata=lambda column: names_metadata(column.name) and column.role == "metadata",
            )
            for schema in manifest.tables
        }  # fmt: skip

    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one part's rows of one file; see `Reader.read`."""
        import pyarrow as pa

        try:
            with file.open("rb") as opened:
                objects = _ObjectList(opened, file, shown, read_head(opened, shown))
                texts = [objects.text(run) for run in source.row_ranges]
                table = self._read_at_once(source, objects, texts, bad)
                if table is None:
                    # Range by range, to name the row where a fault lies.
                    rows = (objects.row_at(first) for first, _ in source.row_ranges)
                    reader = self._readers[source.table]
                    table = pa.concat_tables(
                        reader.read_rows(objects.rows(text, row), bad) for text, row in zip(texts, rows, strict=True)
                    )
        except OSError as error:
            raise describe_os_error(error, f"read {file}") from error
        return self._with_wells(table, source.table, shown, bad)

    def _read_at_once(
        self, source: Source, objects: _ObjectList, texts: Sequence[bytes], bad: BadValues
    ) -> pa.Table | None:
        """Read all rows; None if any of them is at fault.

        Raises
        ------
        SourceChangedError
            There are other rows than `pct-discover` found.
        """
        text = texts[0] if len(texts) == 1 else b"".join(texts)
        here = BadValues("fail")
        try:
            table = self._readers[source.table].read_rows(objects.rows(text, objects.head.first_row), here)
        except DataError:
            return None
        if table.num_rows + here.blank_rows != source.rows:
            raise SourceChangedError(
                f"{objects.shown}: {table.num_rows} rows where pct-discover found {source.rows}; run it again"
            )
        bad.add(here)
        return table

    def _with_wells(self, table: pa.Table, name: str, shown: str, bad: BadValues) -> pa.Table:
        """Return a table with its final names and the wells, made of rows and columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = self._schemas[name]
        places = pc.add(pc.multiply(table[ROW], 1000), table[COLUMN]).combine_chunks().dictionary_encode()
        try:
            names = [well_of(*divmod(place, 1000)) for place in places.dictionary.to_pylist()]
        except ValueError as error:
            raise BadDatasetError(f"{shown}: no plate has a well in {error}") from error
        wells = pa.array(names, pa.string()).take(places.indices)
        well = next((column for column in schema.columns if column.source == WELL_SOURCE), None)
        if well and well.type != "string":
            wells = convert_values(wells.to_pylist(), well.type, well.name, shown, bad)
        arrays = [wells if column.source == WELL_SOURCE else table[column.source] for column in schema.columns]
        return pa.table(arrays, names=[column.name for column in schema.columns])


reader = HarmonyReader


def _of_file(schema: TableSchema) -> TableSchema:
    """Return the schema without the well, which is no column of the file."""
    columns: tuple[Column, ...] = tuple(column for column in schema.columns if column.source != WELL_SOURCE)
    return TableSchema(schema.table, schema.prefix, columns)


@dataclass(frozen=True)
class _ObjectList:
    """An open file with its head."""

    file: BinaryIO
    location: Location
    shown: str
    head: ObjectListHead

    def text(self, run: tuple[int, int]) -> bytes:
        """Read some rows, given by their first and last byte, as UTF-8.

        Raises
        ------
        SourceChangedError
            They are not there.
        """
        first, last = run
        if not self.head.rows_at <= first <= last < self.file.seek(0, os.SEEK_END):
            raise SourceChangedError(f"{self.shown}: does not have the rows that pct-discover found; run it again")
        self.file.seek(first)
        return self.head.encoding.utf8(self.file.read(last + 1 - first), self.shown)

    def rows(self, text: bytes, first_row: int) -> CsvRows:
        """Return rows with all that is known of them."""
        head = self.head
        return CsvRows(self.location, self.shown, text, head.columns, DELIMITER, first_row, head.sample.decimal_point)

    def row_at(self, position: int) -> int:
        """Return the number of the line that begins at a byte."""
        row, left = self.head.first_row, position - self.head.rows_at
        self.file.seek(self.head.rows_at)
        line_end = "\n".encode(self.head.encoding.codec)
        while left > 0 and (block := self.file.read(min(left, _BLOCK_BYTES))):
            row += block.count(line_end)
            left -= len(block)
        return row
