"""Reading the CSV files of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.formats.csv.combined import combined_table
from pycytominer_transform.common.formats.csv.files import is_packed
from pycytominer_transform.common.formats.csv.table_reader import CsvTableReader
from pycytominer_transform.common.formats.protocol import Reader
from pycytominer_transform.common.model.conversion import BadValues
from pycytominer_transform.common.model.manifest import Manifest, Source
from pycytominer_transform.common.model.naming import table_prefix
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

MOST_TOGETHER = 1 << 24
"""Bytes of files that are read together at most."""


class CsvReader(Reader):
    """Reads CSV files; small ones of one table together, since parsing each of them costs something for each column."""

    def __init__(self, manifest: Manifest, max_inflate: int) -> None:
        preset = manifest.preset
        self._readers = {
            schema.table: CsvTableReader(
                schema,
                max_inflate=max_inflate,
                keys=key_columns(schema.table, preset),
                empty_text=preset.empty_text,
                combined=combined_table(schema.table, preset),
            )
            for schema in manifest.tables
        }

    def batches(self, sources: Sequence[Source], threads: int) -> list[list[Source]]:
        """Put small files of one table together, so many that every thread has some; see `Reader.batches`."""
        most = min(MOST_TOGETHER, sum(source.bytes for source in sources) // threads)
        batches: list[list[Source]] = []
        room: dict[str, int] = {}
        last: dict[str, list[Source]] = {}
        for source in sources:
            # A gzipped file is read alone.
            size = most + 1 if is_packed(source.path) else source.bytes
            if size > room.get(source.table, -1):
                last[source.table] = []
                batches.append(last[source.table])
                room[source.table] = most
            last[source.table].append(source)
            room[source.table] -= size
        return batches

    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one file; see `Reader.read`."""
        return self._named(source.table, self._readers[source.table].read(file, shown, bad))

    def read_together(self, sources: Sequence[Source], files: Sequence[Location]) -> tuple[pa.Table, list[int]] | None:
        """Read small files that have one header as if they were one; see `Reader.read_together`."""
        table = sources[0].table
        read = self._readers[table].read_together([file.local_file() for file in files])
        return (self._named(table, read[0]), read[1]) if read is not None else None

    def _named(self, table: str, read: pa.Table) -> pa.Table:
        return read.rename_columns([column.name for column in self._readers[table].schema.columns])


def key_columns(table: str, preset: Preset) -> list[str]:
    """Name the columns that number the image sets or objects of a table's rows."""
    if preset.is_single_table:
        return []
    own = [] if table == preset.image else [preset.object_number_of(table_prefix(table))]
    return [preset.image_number, *own]


reader = CsvReader
