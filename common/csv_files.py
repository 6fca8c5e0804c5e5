"""CSV files as they lie there: plain or gzipped, with commas or semicolons between their fields."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Collection
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.reporting import size as shown_size

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIX = ".csv"
PACKED = ".gz"
DEFAULT_MAX_INFLATE = 64 << 30
"""Bytes that one compressed file may inflate to (design: a zip bomb is refused with the figure)."""

_HEADER_BYTES = 1 << 20
_MOST_RATIO = 1032
"""A byte of deflated data can stand for so many: https://zlib.net/zlib_tech.html"""
_BUFFER_BYTES = 1 << 20


def csv_stem(name: str) -> str | None:
    """Give a CSV file's name without ``.csv`` or ``.csv.gz``, in any letter case; None for other files."""
    lower = name.lower()
    for suffix in (SUFFIX, SUFFIX + PACKED):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return None


def is_packed(path: Place | PurePath) -> bool:
    """Say whether a file is a gzipped one, by its name."""
    return path.suffix.lower() == PACKED


LINE_ENDS = (b"\n", b"\r")


def cut_off(shown: str) -> str:
    """Say that a file's last row has no line end."""
    return f"{shown}: the last row has no line end, so the file may be cut off; if it is whole, add one"


class ByteChecks:
    """Looks in all bytes of a file for what the parser would let pass.

    Attributes
    ----------
    quotes : bool
        Whether there are any, so that a value may hold a line end.
    hexadecimal : bool
        Whether there may be a number such as ``0x10``, which Arrow's reader takes for 16.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self.quotes = False
        self.hexadecimal = False
        self._last = b"\n"
        self._line_ends = False

    def see(self, block: bytes) -> None:
        """Look at the next bytes.

        Raises
        ------
        DataError
            There is a NUL byte in them.
        """
        if b"\0" in block:
            raise DataError(f"{self._shown}: holds a NUL byte; it is damaged or not a CSV file")
        self.quotes = self.quotes or b'"' in block
        self.hexadecimal = self.hexadecimal or has_hexadecimal(block)
        self.hexadecimal = self.hexadecimal or (self._last == b"0" and block[:1] in (b"x", b"X"))
        self._line_ends = self._line_ends or b"\n" in block
        self._last = block[-1:] or self._last

    def check_end(self) -> None:
        """Refuse a last row without a line end; a header alone has nothing to lose.

        Raises
        ------
        DataError
            The file may be cut off.
        """
        if self._last not in LINE_ENDS and self._line_ends:
            raise DataError(cut_off(self._shown))


def has_hexadecimal(block: bytes | bytearray) -> bool:
    """Say whether an x follows a 0; one byte is found thirty times as fast as two."""
    for letter in (b"x", b"X"):
        place = block.find(letter)
        while place >= 0:
            if block[place - 1 : place] == b"0":
                return True
            place = block.find(letter, place + 1)
    return False


class _Inflated(io.RawIOBase):
    """The bytes in a gzip file, no more of them than are allowed."""

    def __init__(self, path: Place, shown: str, most: int, checks: ByteChecks | None) -> None:
        super().__init__()
        self._packed = path.open("rb")
        self._file = gzip.GzipFile(fileobj=self._packed, mode="rb")
        self._shown = shown
        self._most = most
        self._checks = checks
        self._size = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Inflate the next bytes into a buffer.

        Raises
        ------
        DataError
            The file is cut off, damaged, not gzip at all, or inflates to too much.
        """
        try:
            number = self._file.readinto(buffer)
        except EOFError as error:
            raise DataError(f"{self._shown}: the gzip file is cut off") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self._shown}: is damaged, or not a gzip file ({error})") from error
        self._size += number
        if self._size > self._most:
            raise DataError(
                f"{self._shown}: inflates to more than {shown_size(self._most)} ({self._most} bytes); if it is no "
                "bomb, unpack it, or allow more with pct-extract --max-inflate"
            )
        if self._checks is not None:
            self._checks.see(bytes(memoryview(buffer)[:number]))
        return number

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._packed.close()
        super().close()


class _Seen(io.RawIOBase):
    """The bytes of a plain file, shown to the checks as they are read."""

    def __init__(self, path: Place, checks: ByteChecks) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._checks = checks

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into a buffer."""
        found = self._file.read(len(memoryview(buffer)))
        memoryview(buffer)[: len(found)] = found
        self._checks.see(found)
        return len(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def open_csv(
    path: Place, shown: str, *, max_inflate: int = DEFAULT_MAX_INFLATE, checks: ByteChecks | None = None
) -> BinaryIO:
    """Open a CSV file for reading, inflated where it is gzipped.

    Parameters
    ----------
    max_inflate : int
        Bytes that a gzipped file may inflate to.
    checks : ByteChecks, optional
        Shown all bytes as they are read.

    Raises
    ------
    DataError
        Here or while reading: see `_Inflated.readinto`.
    OSError
        It cannot be opened.
    """
    if not is_packed(path):
        return path.open("rb") if checks is None else io.BufferedReader(_Seen(path, checks), _BUFFER_BYTES)
    if not path.stat().st_size:
        raise DataError(f"{shown}: the gzip file is cut off: it is empty")
    return io.BufferedReader(_Inflated(path, shown, max_inflate, checks), _BUFFER_BYTES)


def check_inflated_size(path: Place, shown: str, max_inflate: int) -> None:
    """Inflate a gzipped file that could be a bomb and keep nothing of it, so that no bomb fills the memory.

    Raises
    ------
    DataError
        It inflates to more than `max_inflate` bytes, or is damaged.
    OSError
        It cannot be opened.
    """
    if is_packed(path) and path.stat().st_size * _MOST_RATIO > max_inflate:
        with open_csv(path, shown, max_inflate=max_inflate) as file:
            while file.read(_BUFFER_BYTES):
                pass


def inflated_size(path: Place, size: int) -> int:
    """Estimate the bytes in a file: its size, or what a gzip file's last bytes say of itself (RFC 1952, ISIZE)."""
    if not is_packed(path) or size < 18:
        return size
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return max(size, int.from_bytes(file.read(4), "little"))


def delimiter_of(first: bytes, known: Collection[str]) -> str:
    """Decide by a file's header whether commas or semicolons are between its fields.

    The one that gives more of the names that are known to be there; as many, more fields; as many, the comma. So a
    semicolon within a name, quoted or not, decides nothing.

    Parameters
    ----------
    first : bytes
        The file's first bytes.
    known : collection of str
        Names that its header should hold.
    """
    first = first[:_HEADER_BYTES]
    if b";" not in first:
        return ","
    text = first.decode("utf-8-sig", "replace")
    return ";" if _hits(text, ";", known) > _hits(text, ",", known) else ","


def _hits(text: str, delimiter: str, known: Collection[str]) -> tuple[int, int]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = next((row for row in rows if row), [])
    except csv.Error:
        return -1, 0  # A field too long for one: the wrong delimiter.
    return sum(name in known for name in header), len(header)
