"""Writing Parquet: one file, or one per part; the bytes depend on the rows alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.made_parts import PartsWantedBackError
from pycytominer_transform.common.manifest import part_name
from pycytominer_transform.common.parquet_groups import EncodedGroup, GroupsFile, encoded
from pycytominer_transform.common.profiles import ProfilesReader
from pycytominer_transform.common.provenance import new_step, steps_to_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pycytominer_transform.common.destination import OutputFolder
    from pycytominer_transform.common.parquet_groups import NewWriter

_FIRST_GROUP_BYTES, _GROUP_BYTES = 4_000_000, 24_000_000
_TEXT_BYTES = 32
_LEAST_GROUP_ROWS, _MOST_GROUP_ROWS = 1_024, 1_048_576
_GROWTH = 16
"""A row group has at most this part of the rows before it, unless it has the fewest that are worth it."""
_BATCHES_TO_JOIN = 100
"""So many small batches are put together: each takes some 30 kB, however few its rows."""
PROVENANCE_KEY = "pct.provenance"


def is_parquet_entry(name: str) -> bool:
    """Say whether an entry of a folder of Parquet files is one that was written here."""
    return name.startswith("part-") and name.endswith(".parquet") and "/" not in name


def write_file(reader: ProfilesReader, sink: BinaryIO, settings: dict[str, Any], *, threads: int) -> int:
    """Write all profiles into one Parquet file, so many row groups at once; gives the number of rows."""
    with _GroupWriter(reader, sink, settings, threads) as writer:
        for batch, _ in reader.batches():
            writer.add(batch)
    return writer.rows


def write_folder(reader: ProfilesReader, folder: OutputFolder, settings: dict[str, Any], *, threads: int) -> int:
    """Write a Parquet file per part, so many of its row groups at once; gives the number of rows.

    Where no part has a row there is one empty file, so that the columns can be read from it.
    """
    rows = 0
    for part, batches in _by_part(reader.batches()):
        name = f"{part_name(part)}.parquet"
        with folder.open(name) as sink, _GroupWriter(reader, sink, settings, threads) as writer:
            for batch in batches:
                writer.add(batch)
        rows += writer.rows
    return rows


def _by_part(batches: Iterator[tuple[pa.RecordBatch, int]]) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Group batches that follow each other by their part; one empty part where there are none."""
    pending = next(batches, None)
    if pending is None:
        yield 1, iter(())
    while pending is not None:
        current = pending[1]

        def one_part(part: int) -> Iterator[pa.RecordBatch]:
            nonlocal pending
            while pending is not None and pending[1] == part:
                yield pending[0]
                pending = next(batches, None)

        yield current, one_part(current)


class _GroupWriter:
    """Gathers batches into row groups whose sizes depend on the rows alone, whatever sizes the batches have."""

    def __init__(self, reader: ProfilesReader, sink: BinaryIO, settings: dict[str, Any], threads: int) -> None:
        self._reader = reader
        self._schema = reader.schema.remove_metadata()
        self._settings = settings
        self._row_bytes = row_bytes(self._schema)
        self._new_writer = writer_maker(self._schema, settings["compression"])
        self._file = GroupsFile(sink, self._new_writer)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        self._encoding: deque[Future[EncodedGroup]] = deque()
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._joined_batches = 0
        self._grouped_rows = 0
        self.rows = 0

    def __enter__(self) -> _GroupWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._pool:
            # What was given is wanted back from a whole file.
            if kind is not None and kind is not PartsWantedBackError:
                # Without a footer the file, which is incomplete then and will be removed, does not look whole.
                self._pool.shutdown(wait=False, cancel_futures=True)
                return
            self._flush(everything=True)
            self._write_until_left(0)
            self._file.close({PROVENANCE_KEY: self._history(), "pct.preset": self._reader.preset})

    def add(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._pending_rows >= self._group_rows():
            self._flush(everything=False)
        elif len(self._pending) - self._joined_batches >= _BATCHES_TO_JOIN:
            self._join()

    def _join(self) -> None:
        """Put the batches since the last time together, if they are small."""
        import pyarrow as pa

        last = self._pending[self._joined_batches :]
        if sum(batch.num_rows for batch in last) * self._row_bytes <= _FIRST_GROUP_BYTES:
            self._pending[self._joined_batches :] = (
                pa.Table.from_batches(last, self._schema).combine_chunks().to_batches()
            )
        self._joined_batches = len(self._pending)

    def _group_rows(self) -> int:
        return self._settings["row_group_rows"] or group_rows(self._row_bytes, self._grouped_rows)

    def _flush(self, *, everything: bool) -> None:
        import pyarrow as pa

        rest = pa.Table.from_batches(self._pending, schema=self._schema)
        while rest.num_rows >= (size := self._group_rows()) or (everything and rest.num_rows):
            self._write_until_left(self._threads)
            self._encoding.append(self._pool.submit(encoded, rest.slice(0, size), self._new_writer))
            self._grouped_rows += min(size, rest.num_rows)
            rest = rest.slice(size)
        self._pending = rest.to_batches()
        self._joined_batches = 0
        self._pending_rows = rest.num_rows

    def _write_until_left(self, number: int) -> None:
        """Write row groups in their order until so many are still being encoded."""
        while len(self._encoding) > number:
            self._file.add(self._encoding.popleft().result())

    def _history(self) -> str:
        step = new_step("pct-write", self._settings, {"rows": self.rows})
        return steps_to_json([*self._reader.steps, step])


def row_bytes(schema: pa.Schema) -> int:
    """Estimate the bytes of a row."""
    return sum(kind.bit_width // 8 if _is_fixed(kind) else _TEXT_BYTES for kind in schema.types)


def group_rows(row_size: int, before: int) -> int:
    """Choose the rows of the row group that comes after so many rows, of rows of so many bytes.

    Small ones can be passed over by who looks for one well, and each costs who opens the file: so they grow with the
    file, from about 4 MB of values (1,024 rows at least) to 24 MB.
    """
    first, most = (_clamped(size // max(row_size, 1)) for size in (_FIRST_GROUP_BYTES, _GROUP_BYTES))
    return min(max(before // _GROWTH, first), most)


def _clamped(rows: int) -> int:
    return min(max(rows, _LEAST_GROUP_ROWS), _MOST_GROUP_ROWS)


def _is_fixed(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_primitive(kind))


def writer_maker(schema: pa.Schema, compression: str) -> NewWriter:
    """Give what makes Arrow's writers of a table with this schema."""
    import pyarrow as pa

    # Measurements hardly ever repeat, so a dictionary of them saves nothing. Their signs and exponents do: with each
    # byte of a number in a stream of its own (BYTE_STREAM_SPLIT) files are 3 to 8 percent smaller, and read faster.
    measured = [field.name for field in schema if field.type in (pa.float32(), pa.float64())]
    others = [field.name for field in schema if not pa.types.is_floating(field.type)]

    def new_writer(sink: pa.NativeFile) -> pq.ParquetWriter:
        import pyarrow.parquet as pq

        try:
            return pq.ParquetWriter(
                sink, schema, compression=compression, use_dictionary=others, use_byte_stream_split=measured,
                write_statistics=True,
            )  # fmt: skip
        except pa.ArrowNotImplementedError as error:
            raise DataError(f"Parquet has no form for this table: {error}; leave that column out") from error

    return new_writer
