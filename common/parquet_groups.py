"""Writing a Parquet file row group by row group in memory that does not grow with their number.

Arrow's writer keeps nearly a kilobyte for each column of each row group until the file's end. Here each row group has a
writer of its own, whose footer is taken from it and kept compressed; the file's footer is put together of them at its
end. A footer is one Thrift struct in compact form, of which only the list of row groups differs from writer to writer
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift). The bytes are those that one
writer of Arrow's would have written.
"""

from __future__ import annotations

import functools
import io
import mmap
import zlib
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from _typeshed import ReadableBuffer

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
"""The footer's length and the magic word, behind the footer."""
_ROWS_FIELD, _GROUPS_FIELD = b"\x16", b"\x19"
"""Of a footer: its rows, of 64 bits (field 3), and its row groups, a list (field 4)."""
_STRUCTS = 0x0C
_ADVANCE_BYTES = 1 << 24


class GroupsFile:
    """A Parquet file to which row groups are added.

    Parameters
    ----------
    sink : file
        Where it goes; nothing is read from it, nor is its place asked for.
    new_writer : callable
        Makes Arrow's writer on a file, always with the same schema and settings.
    """

    def __init__(self, sink: BinaryIO, new_writer: Callable[[pa.NativeFile], pq.ParquetWriter]) -> None:
        self._sink = sink
        self._new_writer = new_writer
        self._place = len(_MAGIC)
        self._rows = 0
        self._groups: list[bytes] = []
        self._head = b""
        # Refuses a schema that Parquet has no form for, too.
        self._empty = self._footer_without_groups({})
        sink.write(_MAGIC)

    def add(self, rows: pa.Table) -> None:
        """Write a table, which has rows, as one row group."""
        segment = _Segment(self._sink)
        file = segment.for_arrow()
        writer = self._new_writer(file)
        try:
            segment.begins_at(self._place, file)
            writer.write_table(rows, row_group_size=rows.num_rows)
        except BaseException:
            # A footer, which `__del__` would add, makes the file look whole.
            writer.is_open = False
            raise
        segment.ends_here()
        writer.close()
        self._place += segment.written
        self._rows += rows.num_rows
        self._groups.append(zlib.compress(self._group_of(segment.footer, rows.num_rows), 1))

    def close(self, metadata: dict[str, str]) -> None:
        """Write the footer, with further keys and values of the file's."""
        empty = self._footer_without_groups(metadata)
        if not self._groups:
            self._write_footer([empty])
            return
        bare = self._head + _rows_and_groups(0, 0)
        if not empty.startswith(bare):
            raise _unexpected()
        before = self._head + _rows_and_groups(self._rows, len(self._groups))
        self._write_footer(chain([before], map(zlib.decompress, self._groups), [empty[len(bare) :]]))

    def _write_footer(self, pieces: Iterable[bytes]) -> None:
        length = 0
        for piece in pieces:
            self._sink.write(piece)
            length += len(piece)
        self._sink.write(length.to_bytes(4, "little") + _MAGIC)

    def _footer_without_groups(self, metadata: dict[str, str]) -> bytes:
        segment = _Segment(io.BytesIO())
        writer = self._new_writer(segment.for_arrow())
        segment.ends_here()
        if metadata:
            writer.add_key_value_metadata(metadata)
        writer.close()
        return segment.footer

    def _group_of(self, footer: bytes, rows: int) -> bytes:
        """Give a row group's description of the footer of a file that has no other."""
        if not self._groups:
            # They differ first in the number of rows.
            pairs = enumerate(zip(footer, self._empty, strict=False))
            self._head = footer[: next(place for place, (one, other) in pairs if one != other)].removesuffix(
                _ROWS_FIELD
            )
        before, bare = self._head + _rows_and_groups(rows, 1), self._head + _rows_and_groups(0, 0)
        after = self._empty[len(bare) :]
        if not (self._empty.startswith(bare) and footer.startswith(before) and footer.endswith(after)):
            raise _unexpected()
        return footer[len(before) : len(footer) - len(after)]


class _Segment(io.RawIOBase):
    """What one of Arrow's writers writes to: passes the rows' bytes on, and keeps the footer for itself."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__()
        self._sink = sink
        self._kept: list[bytes] | None = None
        self._is_body = False
        self.written = 0

    def for_arrow(self) -> pa.NativeFile:
        """Give it as what a writer is made on, which begins it with the magic word.

        Not to be held by the segment: Arrow holds that in turn, where Python's collector of garbage sees nothing.
        """
        import pyarrow as pa

        return pa.PythonFile(self, mode="w")

    def begins_at(self, place: int, file: pa.NativeFile) -> None:
        """Pass on what is written from now on; it comes to lie at a place in the file."""
        # Arrow counts what it writes, and asks nobody else where it is.
        for start in range(len(_MAGIC), place, _ADVANCE_BYTES):
            file.write(_nothing()[: min(_ADVANCE_BYTES, place - start)])
        self._is_body = True

    def ends_here(self) -> None:
        """Keep what is written from now on."""
        self._kept = []

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, content: ReadableBuffer) -> int:
        """Take bytes: before the rows nothing is done with them."""
        size = len(cast(bytes, content))
        if self._kept is not None:
            self._kept.append(bytes(content))
        elif self._is_body:
            self._sink.write(content)
            self.written += size
        return size

    @property
    def footer(self) -> bytes:
        """The footer alone."""
        return b"".join(self._kept or ())[:-_TAIL_BYTES]


@functools.cache
def _nothing() -> pa.Buffer:
    """Give bytes that nobody looks at; memory that is not touched takes no room."""
    import pyarrow as pa

    return pa.py_buffer(mmap.mmap(-1, _ADVANCE_BYTES))


def _rows_and_groups(rows: int, groups: int) -> bytes:
    """Write the fields of a footer between its schema and its first row group."""
    header = bytes([groups << 4 | _STRUCTS]) if groups < 15 else bytes([0xF0 | _STRUCTS]) + _varint(groups)
    return _ROWS_FIELD + _varint(2 * rows) + _GROUPS_FIELD + header


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _unexpected() -> RuntimeError:
    return RuntimeError("this version of pyarrow writes Parquet's footers in another way than those that were tried")
