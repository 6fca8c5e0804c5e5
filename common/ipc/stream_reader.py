"""Reads Arrow IPC streams and files, and checks the closing record of the suite's own; see `stream_writer`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import xxhash
from pycytominer_transform.common.errors import DataError, PctError, StageEndedEarlyError, describe_os_error
from pycytominer_transform.common.ipc.next_stage import command_for
from pycytominer_transform.common.ipc.stream_writer import CLOSING, PART, Closing, empty_batch
from pycytominer_transform.common.model.provenance import from_json
from pycytominer_transform.common.storage.destination import storage_errors
from pycytominer_transform.common.storage.location import Location
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import STANDARD, open_input

if TYPE_CHECKING:
    import pyarrow as pa

_FILE_MAGIC = b"ARROW1"
_FILE_HEAD_BYTES = 8
_STREAM_MAGIC = b"\xff\xff\xff\xff"
_END_OF_STREAM = _STREAM_MAGIC + b"\x00\x00\x00\x00"
_PIECE_BYTES = 1 << 30
_ENDED_EARLY = "the stage before this one ended early"


class _Batch(NamedTuple):
    """A record batch, with the number of its part where it has one; or the closing record."""

    batch: pa.RecordBatch
    part: int | None = None
    closing: Closing | None = None


@dataclass
class OpenStream:
    """One Arrow stream or file that is being read.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of its batches, with the metadata that says what the stream is.
    closing : Closing or None
        The closing record, once the batches have been read to their end.
    """

    schema: pa.Schema
    where: str
    _batches: Iterator[_Batch]
    closing: Closing | None = None

    def __post_init__(self) -> None:
        """Refuse a schema whose names are not text."""
        # Arrow decodes the names of columns only when they are used.
        with _arrow_errors(self.where):
            len(self.schema.names)

    @property
    def role(self) -> str:
        """The stream's kind: ``manifest``, ``table``, ``profiles`` or ``end``; empty for a foreign stream."""
        return self.text("pct.role")

    def text(self, key: str) -> str:
        """Return one entry of the schema's metadata, empty where it is absent."""
        return str((self.schema.metadata or {}).get(key.encode(), b"").decode("utf-8", "replace"))

    def batches(self) -> Iterator[tuple[pa.RecordBatch, int | None]]:
        """Yield the batches that have rows, each with the number of its part where it has one.

        Raises
        ------
        StageEndedEarlyError
            The stream is cut off, has no closing record although it is one of ours, or has other counts.
        """
        rows = 0
        for batch, part, closing in self._batches:
            if closing is not None:
                self.closing = closing
            elif batch.num_rows:
                if self.closing is not None:
                    raise StageEndedEarlyError(f"{self.where}: rows after the closing record; {_ENDED_EARLY}")
                rows += batch.num_rows
                yield batch, part
        if self.closing is None and self.role:
            raise StageEndedEarlyError(f"{self.where} has no closing record: {_ENDED_EARLY}")
        if self.closing is not None and self.closing.rows != rows:
            raise StageEndedEarlyError(
                f"{self.where} has {rows} rows, its closing record says {self.closing.rows}: {_ENDED_EARLY}"
            )

    def read_all(self) -> pa.Table:
        """Read the rows to the end as one table."""
        import pyarrow as pa

        return pa.Table.from_batches([batch for batch, _ in self.batches()], schema=self.schema)


@contextmanager
def open_streams(path: str, what: str, storage: StorageOptions | None) -> Iterator[Iterator[OpenStream]]:
    """Open the Arrow streams at a place, or on standard input (``-``); see `open_input` and `read_streams`."""
    with open_input(path, what, storage) as file:
        yield read_streams(file, "standard input" if path == STANDARD else path)


def read_streams(file: BinaryIO, where: str) -> Iterator[OpenStream]:
    """Read Arrow streams that stand end to end, or one Arrow file, told apart by their first bytes.

    The rest of a stream is skipped when the next one is asked for.

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
            kind = {
                b"PAR1": ", but Parquet, as pct-write writes it",
                b"SQLi": f", but SQLite: {command_for('source', where)}",
            }
            raise DataError(f"{where} is not Arrow IPC{kind.get(head[:4], '')}")
        stream = _open_stream(buffered, where)
        yield stream
        for _ in stream.batches() if stream.closing is None else ():
            pass
        head = _peek(buffered)


def stream_of(batches: Iterable[tuple[pa.RecordBatch, int]], schema: pa.Schema, where: str) -> OpenStream:
    """Return batches in memory, each with the number of its part, as an open stream."""

    def closed_batches() -> Iterator[_Batch]:
        rows = 0
        for batch, part in batches:
            yield _Batch(batch, part)
            rows += batch.num_rows
        yield _Batch(empty_batch(schema), closing=Closing(rows))

    return OpenStream(schema, where, closed_batches())


@contextmanager
def read_one(path: Location, role: str) -> Iterator[OpenStream]:
    """Open one of the suite's own Arrow files and check its role."""
    with storage_errors(path, "read"), path.open("rb") as file:
        stream = next(read_streams(file, str(path)))
        if stream.role != role:
            raise DataError(f"{path} is not a {role} of this suite")
        yield stream


def is_whole_file(path: Location, role: str) -> bool:
    """Return whether one of the suite's own Arrow files exists with the rows and the bytes that were written."""
    with suppress(PctError), read_one(path, role) as stream:
        for _ in stream.batches():
            pass
        return True
    return False


class _CheckedInput(io.RawIOBase):
    """Forwards reads and keeps their checksum and their last eight bytes, which show the end of a stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = xxhash.xxh3_64()
        self.last_bytes = b""

    @property
    def checksum(self) -> str:
        return str(self._hash.hexdigest())

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # In pieces, because a damaged size may be larger than the memory.
        pieces = []
        while size and (piece := self._file.read(min(size, _PIECE_BYTES))):
            pieces.append(piece)
            size -= len(piece)
        content = b"".join(pieces)
        self._hash.update(content)
        self.last_bytes = content[-8:] if len(content) >= 8 else (self.last_bytes + content)[-8:]
        return content


def _peek(file: io.BufferedReader) -> bytes:
    return file.peek(len(_FILE_MAGIC))[: len(_FILE_MAGIC)]


def _open_stream(file: BinaryIO, where: str, *, is_file: bool = False) -> OpenStream:
    """Open a stream, or a file of this suite as the stream that follows its first eight bytes."""
    import pyarrow as pa

    source = _CheckedInput(file)
    source.read(_FILE_HEAD_BYTES if is_file else 0)
    with _arrow_errors(where):
        reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))

    def batches() -> Iterator[_Batch]:
        while True:
            checksum = source.checksum
            with _arrow_errors(where):
                try:
                    batch = _decoded(reader.read_next_batch_with_custom_metadata(), where)
                except StopIteration:
                    # Arrow takes the end of the file for the end of the stream.
                    if source.last_bytes != _END_OF_STREAM or (is_file and not file.read().endswith(_FILE_MAGIC)):
                        raise EOFError from None
                    return
            if batch.closing is not None and batch.closing.checksum not in ("", checksum):
                raise DataError(f"{where} is damaged: its data have another checksum than when they were written")
            yield batch

    return OpenStream(reader.schema, where, batches())


def _open_file(file: io.BufferedReader, where: str) -> OpenStream:
    import pyarrow as pa

    source: BinaryIO = file if file.seekable() else io.BytesIO(file.read())
    with suppress(StageEndedEarlyError):
        stream = _open_stream(source, where, is_file=True)
        if stream.role:
            return stream
    # A foreign file may have its parts in any order.
    source.seek(0)
    with _arrow_errors(where):
        reader = pa.ipc.open_file(pa.PythonFile(source, mode="r"))

    def batches() -> Iterator[_Batch]:
        for number in range(reader.num_record_batches):
            with _arrow_errors(where):
                batch = _decoded(reader.get_batch_with_custom_metadata(number), where)
            yield batch

    return OpenStream(reader.schema, where, batches())


def _decoded(item: Any, where: str) -> _Batch:
    # Damaged offsets would crash a reader of the values.
    item.batch.validate(full=True)
    metadata = dict(item.custom_metadata or {})
    part = int(metadata[PART]) if PART in metadata else None
    closing = from_json(metadata[CLOSING], Closing, f"the end of {where}") if CLOSING in metadata else None
    return _Batch(item.batch, part, closing)


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
        raise describe_os_error(error, f"read {where}") from error
