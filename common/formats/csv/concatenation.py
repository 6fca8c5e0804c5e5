"""Concatenation of small CSV files that have one header, so that they are parsed at once.

With hundreds of columns much of the cost of parsing is for each column of each file, however few rows that has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pycytominer_transform.common.formats.csv.files import has_hexadecimal, positions

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def concatenate(paths: Sequence[Path]) -> tuple[memoryview, list[int]] | None:
    """Read files into one text: the header, then the rows of all.

    Returns
    -------
    tuple of (memoryview, list of int) or None
        The text, and how many lines each file has below its header; as many rows, unless some are empty. None if a file
        has another header, quotes, which may hold line ends, something that Arrow's reader does not notice (a NUL byte,
        a hexadecimal number), line ends of its own kind, or no line end at its end.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    sizes = [path.stat().st_size for path in paths]
    text = bytearray(sum(sizes))
    header, end, rows = b"", 0, []
    for path, size in zip(paths, sizes, strict=True):
        with path.open("rb") as file:
            if header and file.read(len(header)) != header:
                return None
            begin, end = end, end + size - len(header)
            if file.readinto(memoryview(text)[begin:end]) != end - begin:
                return None
        if not header:
            begin = text.find(b"\n", 0, end) + 1
            header = bytes(text[:begin])
            if not header.removeprefix(_BYTE_ORDER_MARK).strip():
                return None
        if text[end - 1 : end] != b"\n" or _is_unusual(text, begin, end):
            return None
        rows.append(sum(1 for _ in positions(text, b"\n", begin, end)))
    return memoryview(text)[:end], rows


def _is_unusual(text: bytearray, begin: int, end: int) -> bool:
    return (
        any(text.find(byte, begin, end) >= 0 for byte in (b"\0", b'"'))
        or any(text[place + 1 : place + 2] != b"\n" for place in positions(text, b"\r", begin, end))
        or has_hexadecimal(text, begin, end)
    )
