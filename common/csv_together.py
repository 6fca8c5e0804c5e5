"""The text of several small CSV files that have one header, put together so that they are parsed at once.

With hundreds of columns much of what parsing costs is for each column of each file, however few rows that has.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextTogether:
    """Files below each other, as one file with one header.

    Attributes
    ----------
    text : pyarrow.Buffer
        The header, then the rows of all.
    header : bytes
        The header with its line end.
    rows : list of int
        Lines that each file has below its header; as many rows, unless some are empty.
    """

    text: pa.Buffer
    header: bytes
    rows: list[int]


def put_together(paths: Sequence[Path]) -> TextTogether | None:
    """Read files, and put them below each other.

    Returns
    -------
    TextTogether or None
        None where anything about one of them is odd: it has another header, quotes, which may hold line ends, something
        in it that Arrow's reader passes over (a NUL byte, a hexadecimal number), line ends of its own kind, or no line
        end in the end.

    Raises
    ------
    OSError
        One cannot be read.
    """
    import pyarrow as pa

    sizes = [path.stat().st_size for path in paths]
    # Arrow's memory is not filled with zeros first, and is there again for the next files.
    buffer = pa.allocate_buffer(sum(sizes))
    header, end, rows = b"", 0, []
    with memoryview(buffer) as room:
        for path, size in zip(paths, sizes, strict=True):
            with path.open("rb", buffering=0) as file:
                if header and file.read(len(header)) != header:
                    return None
                text = _Text(buffer.address, end, end + size - len(header))
                end = text.end
                if not _fill(room[text.begin : end], file):
                    return None
            if not header:
                header = bytes(room[: next(text.places(b"\n"), -1) + 1])
                if not header.removeprefix(_BYTE_ORDER_MARK).strip():
                    return None
                text.begin = len(header)
            if room[end - 1 : end].tobytes() != b"\n" or _is_odd(text, room):
                return None
            rows.append(sum(1 for _ in text.places(b"\n")))
    return TextTogether(buffer.slice(0, end), header, rows)


def _fill(room: memoryview, file: io.FileIO) -> bool:
    """Fill a piece of memory from a file; says whether there was as much."""
    with room:
        filled = 0
        while filled < len(room):
            got = file.readinto(room[filled:])
            if not got:
                return False
            filled += got
    return True


@dataclass
class _Text:
    """A piece of memory to look for bytes in, which takes no lock of Python's; lines of hundreds of numbers are long.

    Attributes
    ----------
    address : int
        Where the memory is.
    begin, end : int
        The piece in it.
    """

    address: int
    begin: int
    end: int

    def places(self, byte: bytes) -> Iterator[int]:
        """Give the places of a byte, counted from the address."""
        find, wanted, stop = _memchr(), byte[0], self.address + self.end
        found = find(self.address + self.begin, wanted, self.end - self.begin)
        while found:
            yield found - self.address
            found = find(found + 1, wanted, stop - found - 1)


@cache
def _memchr() -> Any:
    find = ctypes.CDLL(None).memchr
    find.restype, find.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    return find


def _is_odd(text: _Text, room: memoryview) -> bool:
    return (
        any(True for byte in (b"\0", b'"') for _ in text.places(byte))
        or any(room[place + 1 : place + 2].tobytes() != b"\n" for place in text.places(b"\r"))
        or any(room[place - 1 : place].tobytes() == b"0" for letter in (b"x", b"X") for place in text.places(letter))
    )
