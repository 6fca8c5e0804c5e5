"""The text of several small CSV files that have one header, put together so that they are parsed at once.

With hundreds of columns much of what parsing costs is for each column of each file, however few rows that has.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pycytominer_transform.common.csv_files import has_hexadecimal

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextTogether:
    """Files below each other, as one file with one header.

    Attributes
    ----------
    text : bytearray
        The header, then the rows of all.
    header : bytes
        The header with its line end.
    rows : list of int
        Lines that each file has below its header; as many rows, unless some are empty.
    """

    text: bytearray
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
    sizes = [path.stat().st_size for path in paths]
    text = bytearray(sum(sizes))
    header, end, rows = b"", 0, []
    for path, size in zip(paths, sizes, strict=True):
        with path.open("rb", buffering=0) as file:
            if header and file.read(len(header)) != header:
                return None
            begin, end = end, end + size - len(header)
            if not _fill(memoryview(text)[begin:end], file):
                return None
        if not header:
            begin = text.find(b"\n", 0, end) + 1
            header = bytes(text[:begin])
            if not header.removeprefix(_BYTE_ORDER_MARK).strip():
                return None
        if text[end - 1 : end] != b"\n":
            return None
        rows.append(_lines(text, begin, end))
    del text[end:]
    return None if _is_odd(text) else TextTogether(text, header, rows)


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


def _lines(text: bytearray, begin: int, end: int) -> int:
    # Lines of hundreds of numbers are long, so this is faster than to count in all bytes.
    lines = 0
    while begin < end:
        begin = text.index(b"\n", begin, end) + 1
        lines += 1
    return lines


def _is_odd(text: bytearray) -> bool:
    has_own_line_ends = b"\r" in text and text.count(b"\r") != text.count(b"\r\n")
    return b"\0" in text or b'"' in text or has_own_line_ends or has_hexadecimal(text)
