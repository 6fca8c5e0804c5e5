"""Parquet files: one for all profiles, or one per part; the values depend on the rows alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO

from pycytominer_transform.common.errors import DataError, PctError, SourceNotFoundError
from pycytominer_transform.common.ipc.profiles import EXPERIMENT, ProfilesReader
from pycytominer_transform.common.ipc.stream_writer import arrow_sink
from pycytominer_transform.common.model.manifest import part_name
from pycytominer_transform.common.model.provenance import Step, new_step, steps_to_json, to_json
from pycytominer_transform.common.model.roles import ROLES, chosen_columns, role_list, role_of_field, with_roles
from pycytominer_transform.common.runtime.signals import raise_if_interrupted
from pycytominer_transform.common.storage.destination import storage_errors
from pycytominer_transform.common.storage.location import Location, named_location
from pycytominer_transform.common.write.outputs import Description

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pycytominer_transform.common.storage.destination import OutputFolder
    from pycytominer_transform.common.storage.options import StorageOptions

_FIRST_GROUP_BYTES, _LARGEST_GROUP_BYTES = 4_000_000, 256_000_000
_TEXT_BYTES = 32
"""Assumed size of a text."""
_MIN_GROUP_ROWS, _MAX_GROUP_ROWS = 4_096, 1_048_576
_GROWTH = 32
"""A row group has at most the rows before it divided by this, so that the groups of a file are few."""
_BATCHES_TO_COMBINE = 100
"""A record batch takes some 30 kB beside its rows, so this many small ones are combined."""
PROVENANCE_KEY = "pct.provenance"
COLUMNS_KEY = "pct.columns"
"""A JSON list of the columns, each with its name and role."""
FINGERPRINT_KEY = "pct.fingerprint"


def is_own_entry(name: str) -> bool:
    """Return whether an entry of a folder of Parquet files is one that `write_folder` wrote."""
    return name.startswith("part-") and name.endswith(".parquet") and "/" not in name


def columns_of_file(
    path: str, roles: Collection[str] | None = None, storage: StorageOptions | None = None
) -> list[str]:
    """List the columns of a Parquet file, or of the first of a folder, that have one of some roles; all by default.

    Raises
    ------
    UsageError
        There is no such role.
    SourceNotFoundError, DataError, StorageError
        There is no such file, it is no Parquet, or it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = role_list(",".join(roles)) if roles else ROLES
    file = named_location(path, storage)
    if file.is_dir():
        names = sorted(name for name in file.entry_names() if name.endswith(".parquet"))
        file = file / names[0] if names else file
    if not file.is_file():
        raise SourceNotFoundError(f"{path}: no such Parquet file, and no folder of Parquet files")
    with storage_errors(file, "read"), file.open("rb") as opened:
        try:
            schema = pq.read_schema(opened)
        except pa.ArrowInvalid as error:
            raise DataError(f"{file} is not a Parquet file: {error}") from error
    return [field.name for field in schema if role_of_field(field) in wanted]


def description(output: Location) -> Description | None:
    """Return the figures and the provenance of a file whose pages are whole, else None."""
    return described(output, lambda metadata: True)


def described(file: Location, matches: Callable[[dict[bytes, bytes]], bool]) -> Description | None:
    """Return the figures and the provenance of a file whose metadata match and whose pages are whole, else None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(pa.ArrowException, OSError, IndexError, PctError), file.open("rb") as opened:
        parquet = pq.ParquetFile(opened, page_checksum_verification=True)
        footer = parquet.metadata
        metadata = footer.metadata or {}
        if matches(metadata):
            for batch in parquet.iter_batches():
                batch.validate(full=True)
            return Description(metadata.get(PROVENANCE_KEY.encode(), b""), footer.num_rows, footer.num_columns)
    return None


def write_file(reader: ProfilesReader, sink: BinaryIO, settings: dict[str, Any]) -> int:
    """Write all profiles into one Parquet file and return the number of rows."""
    return _write(reader, reader.batches(), sink, settings)


def write_folder(reader: ProfilesReader, folder: OutputFolder, settings: dict[str, Any]) -> int:
    """Write one Parquet file per part and return the number of rows.

    If no part has a row, there is one empty file, from which the columns can be read.
    """
    rows = 0
    for part, batches in groupby(reader.batches(), key=itemgetter(1)):
        with folder.open(f"{part_name(part)}.parquet") as sink:
            rows += _write(reader, batches, sink, settings)
    if not rows:
        with folder.open(f"{part_name(1)}.parquet") as sink:
            _write(reader, (), sink, settings)
    return rows


def _write(
    reader: ProfilesReader, batches: Iterable[tuple[pa.RecordBatch, int]], sink: BinaryIO, settings: dict[str, Any]
) -> int:
    """Write one Parquet file; it gets its footer only if all goes well."""
    with arrow_sink(sink) as stream:
        writer = RowGroupWriter(stream, reader.schema, settings)
        for batch, _ in batches:
            writer.add(batch)
        writer.close(reader.preset, reader.steps, experiment=reader.experiment, fingerprint=reader.fingerprint)
    return writer.rows


class RowGroupWriter:
    """Writes record batches as row groups whose sizes depend on the rows alone, not on the sizes of the batches.

    Parameters
    ----------
    stream : pyarrow.NativeFile
        Where the file goes.
    schema : pyarrow.Schema
        Of the batches; its metadata is not written.
    settings : dict
        ``compression``, ``row_group_rows``, and the roles of the columns to write, ``only`` and ``drop``; see
        `WriteOptions`.

    Attributes
    ----------
    rows : int
        Number of rows added.

    Raises
    ------
    DataError
        Parquet has no form for a column.
    """

    def __init__(self, stream: pa.NativeFile, schema: pa.Schema, settings: dict[str, Any]) -> None:
        self._schema = with_roles(chosen_columns(schema, settings["only"], settings["drop"]), schema)
        self._settings = settings
        self._row_bytes = row_bytes(self._schema)
        self._writer = _new_writer(stream, self._schema, settings["compression"])
        self._combined: list[pa.RecordBatch] = []
        self._batches: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self.rows = 0

    @property
    def columns(self) -> int:
        """The number of columns that are written."""
        return len(self._schema)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows, and write the row groups that are complete."""
        self._batches.append(batch.select(self._schema.names) if len(self._schema) < batch.num_columns else batch)
        self._pending_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._pending_rows >= self._group_rows():
            self._write_groups(everything=False)
        elif len(self._batches) >= _BATCHES_TO_COMBINE:
            self._combine()

    def close(self, preset: str, steps: Sequence[Step], *, experiment: str = "", fingerprint: str = "") -> None:
        """Write the remaining rows and the footer, which holds the provenance with the step of writing."""
        self._write_groups(everything=True)
        step = new_step("pct-write", self._settings, {"rows": self.rows})
        metadata = {
            PROVENANCE_KEY: steps_to_json([*steps, step]),
            COLUMNS_KEY: to_json([{"name": field.name, "role": role_of_field(field)} for field in self._schema]),
            "pct.preset": preset,
        }
        metadata |= {key: text for key, text in ((EXPERIMENT, experiment), (FINGERPRINT_KEY, fingerprint)) if text}
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()

    def _combine(self) -> None:
        """Combine the batches that were added since the last time, if they are small."""
        import pyarrow as pa

        if sum(batch.num_rows for batch in self._batches) * self._row_bytes <= _FIRST_GROUP_BYTES:
            self._batches = pa.Table.from_batches(self._batches, self._schema).combine_chunks().to_batches()
        self._combined += self._batches
        self._batches = []

    def _group_rows(self) -> int:
        """Return the number of rows of the next row group."""
        return self._settings["row_group_rows"] or group_rows(self._row_bytes, self.rows - self._pending_rows)

    def _write_groups(self, *, everything: bool) -> None:
        """Write the row groups that are complete, or all rows."""
        import pyarrow as pa

        pending = pa.Table.from_batches(self._combined + self._batches, self._schema)
        self._combined, self._batches = [], []
        while pending.num_rows >= (size := self._group_rows()) or (everything and pending.num_rows):
            raise_if_interrupted()
            self._writer.write_table(pending.slice(0, size), row_group_size=size)
            pending = pending.slice(size)
            self._pending_rows = pending.num_rows
        self._combined = pending.to_batches()


def row_bytes(schema: pa.Schema) -> int:
    """Estimate the bytes of a row."""
    import pyarrow as pa

    return sum(kind.bit_width // 8 if pa.types.is_primitive(kind) else _TEXT_BYTES for kind in schema.types)


def group_rows(row_size: int, rows_before: int) -> int:
    """Return the number of rows of the row group after `rows_before` rows of `row_size` bytes each.

    Readers skip small row groups well, but pyarrow's writer keeps some 2 kB for each column of each row group until the
    file is closed. So row groups grow with the file, from 4 MB of values (at least 4,096 rows) to 256 MB: a file of
    30 GB with 1,821 columns has some 210 of them, for which the writer takes 0.7 GB.
    """
    first, largest = (
        min(max(size // max(row_size, 1), _MIN_GROUP_ROWS), _MAX_GROUP_ROWS)
        for size in (_FIRST_GROUP_BYTES, _LARGEST_GROUP_BYTES)
    )
    return min(max(rows_before // _GROWTH, first), largest)


def _new_writer(stream: pa.NativeFile, schema: pa.Schema, compression: str) -> pq.ParquetWriter:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Measurements hardly ever repeat, so a dictionary of them saves nothing. Their signs and exponents do: with each
    # byte of a number in a stream of its own (BYTE_STREAM_SPLIT) files are 3 to 8 percent smaller, and read faster.
    measured = [field.name for field in schema if field.type in (pa.float32(), pa.float64())]
    others = [field.name for field in schema if not pa.types.is_floating(field.type)]
    try:
        return pq.ParquetWriter(
            stream, schema, compression=compression, use_dictionary=others, use_byte_stream_split=measured,
            write_statistics=True, write_page_checksum=True,
        )  # fmt: skip
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"Parquet has no form for this table: {error}; leave that column out") from error
