"""Arrow IPC as the stages exchange it: streams and files that end in a closing record.

An Arrow stream cut off between two batches looks complete to Arrow readers. So every stream and file written here
ends in a zero-row batch whose custom metadata counts the rows before it, and what is read here must have it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pycytominer_transform.common.arrays import empty_batch
from pycytominer_transform.common.errors import DataError, PctError, StageEndedEarlyError
from pycytominer_transform.common.interruption import heed_interruption
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.standard_io import reading

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import ReadableBuffer

CLOSING = b"pct.closing"
PART = b"pct.part"
_FILE_MAGIC = b"ARROW1"
_STREAM_MAGIC = b"\xff\xff\xff\xff"
_END_OF_STREAM = _STREAM_MAGIC + b"\x00\x00\x00\x00"
_WRITTEN_BYTES = 1 << 20
_ENDED_EARLY = "the stage before this one ended early"


class StreamWriter:
    """Writes one Arrow IPC stream, or file, that ends in a closing record.

    Parameters
    ----------
    sink : binary file
        Where the bytes go; stays open.
    schema : pyarrow.Schema
        The batches' schema; its metadata says what the stream is.
    as_file : bool
        Write the file format (with a footer, for random access) rather than the stream format.
    """

    def __init__(self, sink: BinaryIO, schema: pa.Schema, *, as_file: bool) -> None:
        import pyarrow as pa

        # Arrow writes column by column; each write to a file of Python's would wait for Python's lock.
        self._buffered = pa.BufferedOutputStream(pa.PythonFile(_Outlet(sink), mode="w"), _WRITTEN_BYTES)
        options = pa.ipc.IpcWriteOptions(use_threads=False)
        make = pa.ipc.new_file if as_file else pa.ipc.new_stream
        self._writer = make(self._buffered, schema, options=options)
        self._schema = schema
        self.rows = 0

    def write(self, table: pa.Table, *, part: int | None = None, batch_rows: int | None = None) -> None:
        """Write a table's rows as batches, each with the number of its part in its custom metadata."""
        heed_interruption()
        metadata = {PART: str(part).encode()} if part is not None else None
        for batch in table.combine_chunks().to_batches(max_chunksize=batch_rows):
            self._writer.write_batch(batch, custom_metadata=metadata)
        self._buffered.flush()
        self.rows += table.num_rows

    def close(self, **counts: Any) -> None:
        """Write the closing record and end the stream."""
        closing = json.dumps({"rows": self.rows, **counts}).encode()
        self._writer.write_batch(empty_batch(self._schema), custom_metadata={CLOSING: closing})
        self._writer.close()
        self._buffered.flush()


class _Outlet(io.RawIOBase):
    """Passes writes on to a file that stays open; after one that failed, no more of them.

    Arrow writes what it holds once more when it is thrown away, and would tell stderr that this failed, too.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink: BinaryIO | None = sink

    def writable(self) -> bool:
        return True

    def write(self, content: ReadableBuffer) -> int:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.write(content)
            self._sink = sink
        return len(cast(bytes, content))


@dataclass
class OpenStream:
    """One Arrow stream or file that is being read.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of its batches, with the metadata that says what the stream is.
    closing : dict or None
        The closing record, once the batches have been read to their end.
    """

    schema: pa.Schema
    where: str
    _batches: Iterator[tuple[pa.RecordBatch, dict[bytes, bytes]]]
    closing: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a schema whose names are not text."""
        # Arrow decodes the columns' names only when somebody asks for them.
        with _arrow_errors(self.where):
            len(self.schema.names)

    @property
    def role(self) -> str:
        """What the stream says it is: ``manifest``, ``table``, ``profiles``, ``end``; empty for a foreign one."""
        return self.text("pct.role")

    def text(self, key: str) -> str:
        """Give one entry of the schema's metadata, empty where it is absent."""
        return str((self.schema.metadata or {}).get(key.encode(), b"").decode("utf-8", "replace"))

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int | None]]:
        """Give the batches that have rows, each with the number of its part where it has one.

        Raises
        ------
        StageEndedEarlyError
            The stream is cut off, has no closing record although it is one of ours, or has other counts.
        """
        rows = 0
        for batch, metadata in self._batches:
            with _arrow_errors(self.where):
                closing, part = _said(metadata)
            if closing is not None:
                self.closing = closing
            elif batch.num_rows:
                if self.closing is not None:
                    raise StageEndedEarlyError(f"{self.where}: rows after the closing record; {_ENDED_EARLY}")
                rows += batch.num_rows
                yield batch, part
        if self.closing is None and self.role:
            raise StageEndedEarlyError(f"{self.where} has no closing record: {_ENDED_EARLY}")
        if self.closing is not None and self.closing.get("rows") != rows:
            raise StageEndedEarlyError(
                f"{self.where} has {rows} rows, its closing record says {self.closing.get('rows')}: {_ENDED_EARLY}"
            )

    def read_all(self) -> pa.Table:
        """Read the rows to the end as one table."""
        import pyarrow as pa

        return pa.Table.from_batches([batch for batch, _ in self.batches()], schema=self.schema)


def read_streams(file: BinaryIO, where: str) -> Iterator[OpenStream]:
    """Read Arrow streams that stand end to end, or one Arrow file, told apart by their first bytes.

    Each stream is read to its end before the next one is given.

    Raises
    ------
    DataError
        The bytes are not Arrow.
    StageEndedEarlyError
        There are no bytes, or a stream is cut off.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file), 1 << 16)
    head = _peek(buffered)
    if not head:
        raise StageEndedEarlyError(f"{where} is empty: {_ENDED_EARLY}")
    if head == _FILE_MAGIC:
        yield _open_file(buffered, where)
        return
    while head:
        if head[:4] != _STREAM_MAGIC[: len(head)]:
            raise DataError(f"{where} is not Arrow IPC")
        stream = _open_stream(buffered, where)
        yield stream
        for _ in stream.batches() if stream.closing is None else ():
            pass
        head = _peek(buffered)


def stream_of(batches: Iterable[tuple[pa.RecordBatch, int]], schema: pa.Schema, where: str) -> OpenStream:
    """Give batches, each with the number of its part, the form of a stream that is being read."""

    def said() -> Iterator[tuple[pa.RecordBatch, dict[bytes, bytes]]]:
        rows = 0
        for batch, part in batches:
            yield batch, {PART: str(part).encode()}
            rows += batch.num_rows
        yield empty_batch(schema), {CLOSING: json.dumps({"rows": rows}).encode()}

    return OpenStream(schema, where, said())


@contextmanager
def read_one(path: Place, role: str) -> Iterator[OpenStream]:
    """Open one of the suite's own Arrow files and check what it says it is."""
    with reading(path), path.open("rb") as file:
        stream = next(read_streams(file, str(path)))
        if stream.role != role:
            raise DataError(f"{path} is not a {role} of this suite")
        yield stream


def is_complete_file(path: Path) -> bool:
    """Say whether one of the suite's own Arrow files is there with its closing record; its rows are not read."""
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            reader = pa.ipc.open_file(file)
            last = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
    except (OSError, ValueError, IndexError, pa.ArrowException):
        return False
    return CLOSING in dict(last.custom_metadata or {})


class _WatchedEnd(io.RawIOBase):
    """Passes reads on and remembers the last eight bytes, by which a stream that was ended is known."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.last_bytes = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        got = self._file.read(size)
        self.last_bytes = got[-8:] if len(got) >= 8 else (self.last_bytes + got)[-8:]
        return got


def _said(metadata: dict[bytes, bytes]) -> tuple[dict[str, Any] | None, int | None]:
    """Read what a batch says of itself: it is the closing record, or it belongs to a part."""
    closing = dict(json.loads(metadata[CLOSING])) if CLOSING in metadata else None
    return closing, int(metadata[PART]) if PART in metadata else None


def _peek(file: io.BufferedReader) -> bytes:
    return file.peek(len(_FILE_MAGIC))[: len(_FILE_MAGIC)]


def _open_stream(file: io.BufferedReader, where: str) -> OpenStream:
    import pyarrow as pa

    watched = _WatchedEnd(file)
    with _arrow_errors(where):
        reader = pa.ipc.open_stream(pa.PythonFile(watched, mode="r"))

    def read_next() -> Any:
        try:
            return reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            # Arrow takes the end of the file for the end of the stream.
            if watched.last_bytes != _END_OF_STREAM:
                raise EOFError from None
            raise

    return OpenStream(reader.schema, where, _each(read_next, where))


def _open_file(file: io.BufferedReader, where: str) -> OpenStream:
    import pyarrow as pa

    source = pa.PythonFile(file, mode="r") if file.seekable() else pa.BufferReader(file.read())
    with _arrow_errors(where):
        reader = pa.ipc.open_file(source)
        numbers = iter(range(reader.num_record_batches))
    return OpenStream(reader.schema, where, _each(lambda: reader.get_batch_with_custom_metadata(next(numbers)), where))


def _each(read_next: Callable[[], Any], where: str) -> Iterator[tuple[pa.RecordBatch, dict[bytes, bytes]]]:
    while True:
        try:
            with _arrow_errors(where):
                item = read_next()
                # Damaged offsets would crash whoever reads the values.
                item.batch.validate(full=True)
        except StopIteration:
            return
        yield item.batch, dict(item.custom_metadata or {})


@contextmanager
def _arrow_errors(where: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (MemoryError, PctError):
        raise
    except (ValueError, TypeError, EOFError, pa.ArrowException) as error:
        raise StageEndedEarlyError(f"{where} is cut off or damaged: {_ENDED_EARLY}") from error
    except OSError as error:
        # Arrow reports a message that is shorter than its header says as an OSError without a number.
        if error.errno is None:
            raise StageEndedEarlyError(f"{where} is cut off or damaged: {_ENDED_EARLY}") from error
        raise
