"""Arrow IPC streams and files that end in a closing record.

An Arrow stream cut off between two batches looks complete to Arrow readers. So every stream and file written here
ends in a zero-row batch, whose custom metadata counts the rows before it and holds the checksum of the bytes before it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec
import xxhash
from pycytominer_transform.common.model.provenance import Step, to_json
from pycytominer_transform.common.runtime.signals import raise_if_interrupted

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import ReadableBuffer

CLOSING = b"pct.closing"
PART = b"pct.part"
_BUFFER_BYTES = 1 << 20


class Closing(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The closing record.

    Attributes
    ----------
    rows : int
        Of this stream.
    checksum : str
        XXH3 of all bytes before the closing record; empty for a stream without rows.
    parts, tables : int
        At the end of a bundle: of all streams.
    steps : tuple of Step
        The steps whose counts were not known when the stream began.
    """

    rows: int
    checksum: str = ""
    parts: int = 0
    tables: int = 0
    steps: tuple[Step, ...] = ()


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

        self._output = _CheckedOutput(sink)
        self._buffered = self._output.buffered()
        options = pa.ipc.IpcWriteOptions(use_threads=False)
        new_writer = pa.ipc.new_file if as_file else pa.ipc.new_stream
        self._writer = new_writer(self._buffered, schema, options=options)
        self._schema = schema
        self._rows = 0

    def write(self, table: pa.Table, *, part: int | None = None, batch_rows: int | None = None) -> None:
        """Write a table's rows as batches, each with the number of its part in its custom metadata."""
        raise_if_interrupted()
        metadata = {PART: str(part).encode()} if part is not None else None
        for batch in table.combine_chunks().to_batches(max_chunksize=batch_rows):
            self._writer.write_batch(batch, custom_metadata=metadata)
        self._buffered.flush()
        self._rows += table.num_rows

    def close(self, *, parts: int = 0, tables: int = 0, steps: Sequence[Step] = ()) -> None:
        """Write the closing record and end the stream."""
        closing = Closing(self._rows, self._output.checksum if self._rows else "", parts, tables, tuple(steps))
        self._writer.write_batch(empty_batch(self._schema), custom_metadata={CLOSING: to_json(closing).encode()})
        self._writer.close()
        self._buffered.flush()


def write_stream(
    sink: BinaryIO, table: pa.Table, *, as_file: bool, part: int | None = None, batch_rows: int | None = None
) -> None:
    """Write a table, whose schema's metadata says what it is, as one stream or file; see `StreamWriter`."""
    writer = StreamWriter(sink, table.schema, as_file=as_file)
    writer.write(table, part=part, batch_rows=batch_rows)
    writer.close()


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch without rows."""
    import pyarrow as pa

    # One array per type is enough for thousands of columns.
    empty = {kind: pa.nulls(0, kind) for kind in dict.fromkeys(schema.types)}
    return pa.RecordBatch.from_arrays([empty[kind] for kind in schema.types], schema=schema)


@contextmanager
def arrow_sink(sink: BinaryIO) -> Iterator[pa.NativeFile]:
    """Open a binary file for Arrow's writers; it stays open, and gets nothing after the block.

    When Arrow's writers are garbage-collected after an error, they write their buffers and even a footer. The output
    would then look complete.
    """
    output = _CheckedOutput(sink)
    try:
        stream = output.buffered()
        yield stream
        stream.flush()
    finally:
        output.stop()


class _CheckedOutput(io.RawIOBase):
    """Passes bytes on to a file, with their checksum, until a write fails or `stop` is called."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink: BinaryIO | None = sink
        self._hash = xxhash.xxh3_64()

    @property
    def checksum(self) -> str:
        return str(self._hash.hexdigest())

    def buffered(self) -> pa.NativeFile:
        """Return Arrow's stream onto it: buffered, since each write to a Python file waits for Python's lock."""
        import pyarrow as pa

        return pa.output_stream(self, compression=None, buffer_size=_BUFFER_BYTES)

    def stop(self) -> None:
        self._sink = None

    def writable(self) -> bool:
        return True

    def write(self, content: ReadableBuffer) -> int:
        sink, self._sink = self._sink, None
        if sink is not None:
            self._hash.update(content)
            sink.write(content)
            self._sink = sink
        return len(cast(bytes, content))
