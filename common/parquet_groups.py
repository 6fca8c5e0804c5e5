"""Writing a Parquet file row group by row group, several at once, in memory that does not grow with their number.

Arrow's writer encodes on one thread, and keeps nearly a kilobyte for each column of each row group until the end.
Here each row group has a writer of its own, on whichever thread, whose footer is taken from it, moved to where the row
group comes to lie, and kept compressed; the file's footer is put together of them at its end. Of a footer only the list
of row groups differs from writer to writer, see `parquet_footer`. The bytes are those that one writer of Arrow's would
have written.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.interruption import heed_interruption
from pycytominer_transform.common.parquet_footer import GroupMover, varint

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from _typeshed import ReadableBuffer

    NewWriter = Callable[[pa.NativeFile], pq.ParquetWriter]
    """Makes Arrow's writer on a file, always with the same schema and settings."""

_MAGIC = b"PAR1"
_LENGTH_BYTES = 4
"""Of a footer's length, between it and the magic word at the end."""
_ROWS_FIELD, _GROUPS_FIELD = b"\x16", b"\x19"
"""Of a footer: its rows, of 64 bits (field 3), and its row groups, a list (field 4)."""
_STRUCTS = 0x0C
_MOST_IN_HEADER = 15
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class EncodedGroup:
    """A row group as it lies in a file that has no other: its bytes, and that file's footer."""

    rows: int
    body: list[bytes]
    footer: bytes


def encoded(rows: pa.Table, new_writer: NewWriter) -> EncodedGroup:
    """Encode a table, which has rows, as one row group; several threads can do this at once."""
    body, footer = _parted(new_writer, lambda writer: writer.write_table(rows, row_group_size=rows.num_rows))
    return EncodedGroup(rows.num_rows, body, footer)


class GroupsFile:
    """A Parquet file to which row groups are added.

    Parameters
    ----------
    sink : file
        Where it goes; nothing is read from it, nor is its place asked for.
    new_writer : callable
        See `NewWriter`; what made the row groups.
    """

    def __init__(self, sink: BinaryIO, new_writer: NewWriter) -> None:
        self._sink = sink
        self._new_writer = new_writer
        self._place = len(_MAGIC)
        self._rows = 0
        self._groups: list[bytes] = []
        self._mover = GroupMover()
        self._head = b""
        # Refuses a schema that Parquet has no form for, too.
        self._empty = self._footer_without_groups({})
        sink.write(_MAGIC)

    def add(self, group: EncodedGroup) -> None:
        """Write a row group below those before it."""
        heed_interruption()
        for piece in group.body:
            self._sink.write(piece)
        try:
            description = self._mover.moved(self._group_of(group), self._place - len(_MAGIC))
        except ValueError as error:
            raise _unexpected() from error
        self._groups.append(zlib.compress(description, 1))
        self._place += sum(map(len, group.body))
        self._rows += group.rows

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
        self._sink.write(length.to_bytes(_LENGTH_BYTES, "little") + _MAGIC)

    def _footer_without_groups(self, metadata: dict[str, str]) -> bytes:
        def describe(writer: pq.ParquetWriter) -> None:
            if metadata:
                writer.add_key_value_metadata(metadata)

        return _parted(self._new_writer, describe)[1]

    def _group_of(self, group: EncodedGroup) -> bytes:
        """Give a row group's description of its footer."""
        footer = group.footer
        if not self._groups:
            # They differ first in the number of rows.
            pairs = enumerate(zip(footer, self._empty, strict=False))
            self._head = footer[: next(place for place, (one, other) in pairs if one != other)].removesuffix(
                _ROWS_FIELD
            )
        before, bare = self._head + _rows_and_groups(group.rows, 1), self._head + _rows_and_groups(0, 0)
        after = self._empty[len(bare) :]
        if not (self._empty.startswith(bare) and footer.startswith(before) and footer.endswith(after)):
            raise _unexpected()
        return footer[len(before) : len(footer) - len(after)]


def _parted(new_writer: NewWriter, fill: Callable[[pq.ParquetWriter], None]) -> tuple[list[bytes], bytes]:
    """Have one of Arrow's writers make a file in memory; gives the row groups in pieces, and the footer."""
    pieces = _Pieces()
    sink = pieces.for_arrow()
    writer = new_writer(sink)
    fill(writer)
    writer.close()
    sink.flush()
    footer = pieces.without_footer()
    return pieces.list, footer


class _Pieces(io.RawIOBase):
    """A file in memory, in pieces: a buffer that grows is copied, and takes twice the room."""

    def __init__(self) -> None:
        super().__init__()
        self.list: list[bytes] = []

    def for_arrow(self) -> pa.NativeFile:
        """Give it as what a writer is made on.

        Not to be held here: Arrow holds this in turn, where Python's collector of garbage sees nothing.
        """
        import pyarrow as pa

        return pa.BufferedOutputStream(pa.PythonFile(self, mode="w"), _PIECE_BYTES)

    def writable(self) -> bool:
        return True

    def write(self, content: ReadableBuffer) -> int:
        self.list.append(bytes(content))
        return len(self.list[-1])

    def without_footer(self) -> bytes:
        """Take off a Parquet file's footer, which is given, and the words at both ends."""
        end = self._taken(len(_MAGIC) + _LENGTH_BYTES)
        footer = self._taken(int.from_bytes(end[:_LENGTH_BYTES], "little"))
        self.list[0] = self.list[0].removeprefix(_MAGIC)
        return footer

    def _taken(self, size: int) -> bytes:
        """Take bytes off the end."""
        taken = b""
        while len(taken) < size:
            taken = self.list.pop() + taken
        self.list.append(taken[: len(taken) - size])
        return taken[len(taken) - size :]


def _rows_and_groups(rows: int, groups: int) -> bytes:
    """Write the fields of a footer between its schema and its first row group."""
    is_long = groups >= _MOST_IN_HEADER
    header = bytes([min(groups, _MOST_IN_HEADER) << 4 | _STRUCTS]) + (varint(groups) if is_long else b"")
    return _ROWS_FIELD + varint(2 * rows) + _GROUPS_FIELD + header


def _unexpected() -> RuntimeError:
    return RuntimeError("this version of pyarrow writes Parquet's footers in another way than those that were tried")
