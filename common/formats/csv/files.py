"""Opening CSV files, plain or gzipped, and finding what is wrong in their bytes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TextIO

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.csv.file_names import PACKED
from pycytominer_transform.common.formats.protocol import DEFAULT_MAX_INFLATE
from pycytominer_transform.common.runtime.messages import size as shown_size
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MOST_RATIO = 1032
"""A byte of deflated data can stand for so many: https://zlib.net/zlib_tech.html"""
_BUFFER_BYTES = 1 << 20
LINE_ENDS = (b"\n", b"\r")


def is_packed(path: Location | str) -> bool:
    """Return whether a file is gzipped, by its name."""
    return str(path).lower().endswith(PACKED)


def cut_off(shown: str) -> str:
    """Return the message for a last row that has no line end."""
    return f"{shown}: the last row has no line end, so the file may be cut off; if it is whole, add one"


class ByteChecks:
    """Checks all bytes of a file for errors that the parser does not notice.

    Attributes
    ----------
    quotes : bool
        Whether there are quotes, so that a value may hold a line end.
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
        """Check the next bytes.

        Raises
        ------
        DataError
            There is a NUL byte in them.
        """
        if b"\0" in block:
            raise DataError(f"{self._shown}: {nul_fault(block)}")
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


def nul_fault(block: bytes) -> str:
    """Return what a block of text is that holds a NUL byte."""
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is UTF-16 text; save it as UTF-8, for instance by iconv -f UTF-16 -t UTF-8"
    return "holds a NUL byte; it is damaged or not a CSV file"


def csv_rows(text: TextIO, delimiter: str, *, strict: bool = False) -> Iterator[list[str]]:
    """Yield the rows of a CSV text; its fields may be of any length."""
    csv.field_size_limit(sys.maxsize)
    return csv.reader(text, delimiter=delimiter, strict=strict)


def has_hexadecimal(text: bytes | bytearray, begin: int = 0, end: int = sys.maxsize) -> bool:
    """Return whether an x follows a 0."""
    return any(text[x - 1 : x] == b"0" for letter in (b"x", b"X") for x in positions(text, letter, begin, end))


def positions(text: bytes | bytearray, byte: bytes, begin: int, end: int) -> Iterator[int]:
    """Yield the positions of a byte; searching for one byte is ten times as fast as for two, or as counting."""
    position = text.find(byte, begin, end)
    while position >= 0:
        yield position
        position = text.find(byte, position + 1, end)


class _CheckedStream(io.RawIOBase):
    """The bytes of a file, inflated if it is gzipped, and checked while they are read."""

    def __init__(self, path: Location, shown: str, most: int, checks: ByteChecks | None) -> None:
        super().__init__()
        self._stored = path.open("rb")
        self._is_packed = is_packed(path)
        self._file = gzip.GzipFile(fileobj=self._stored, mode="rb") if self._is_packed else self._stored
        self._shown = shown
        self._most = most
        self._checks = checks
        self._size = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into a buffer.

        Raises
        ------
        DataError
            A gzip file is cut off, damaged, not gzip at all, or inflates to too much.
        """
        room = memoryview(buffer)
        try:
            block = self._file.read(len(room))
        except EOFError as error:
            raise DataError(f"{self._shown}: the gzip file is cut off") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self._shown}: is damaged, or not a gzip file ({error})") from error
        self._size += len(block)
        if self._is_packed and self._size > self._most:
            raise DataError(
                f"{self._shown}: inflates to more than {shown_size(self._most)} ({self._most} bytes); if it is no "
                "bomb, unpack it, or allow more with pct-extract --max-inflate"
            )
        if self._checks is not None:
            self._checks.see(block)
        room[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._stored.close()
        super().close()


def open_csv(
    path: Location, shown: str, *, max_inflate: int = DEFAULT_MAX_INFLATE, checks: ByteChecks | None = None
) -> BinaryIO:
    """Open a CSV file for reading, inflated if it is gzipped.

    Parameters
    ----------
    max_inflate : int
        Bytes that a gzipped file may inflate to.
    checks : ByteChecks, optional
        Checks all bytes as they are read.

    Raises
    ------
    DataError
        Here or while reading: see `_CheckedStream.readinto`.
    OSError
        It cannot be opened.
    """
    if not is_packed(path) and checks is None:
        return path.open("rb")
    if is_packed(path) and not path.stat().st_size:
        raise DataError(f"{shown}: the gzip file is cut off: it is empty")
    return io.BufferedReader(_CheckedStream(path, shown, max_inflate, checks), _BUFFER_BYTES)


def check_inflated_size(path: Location, shown: str, max_inflate: int) -> None:
    """Inflate a gzipped file that could be a bomb and discard the bytes, so that no bomb fills the memory.

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


def inflated_size(root: Location, path: str, size: int) -> int:
    """Estimate a file's inflated size in bytes, for gzip from its last bytes (RFC 1952, ISIZE)."""
    if not is_packed(path) or size < 18:
        return size
    with (root / path).open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return max(size, int.from_bytes(file.read(4), "little"))


def locate_fault(
    open_file: Callable[[], BinaryIO], shown: str, delimiter: str, first: tuple[int, int] | None = None
) -> DataError:
    """Return the error of a file that Arrow cannot read, with the row where it lies, by a slower reader.

    Parameters
    ----------
    first : tuple of (int, int), optional
        The number of the first row, and its fields, where the header is elsewhere.
    """
    row = first[0] - 1 if first else 0
    try:
        with open_file() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            reader = csv_rows(text, delimiter, strict=True)
            width = first[1] if first else len(next(reader, []))
            for row, fields in enumerate(reader, start=first[0] if first else 2):
                if fields and len(fields) != width:
                    return DataError(
                        f"{shown}, row {row}: {len(fields)} fields where the header has {width}; "
                        "the file is cut off or damaged"
                    )
    except UnicodeDecodeError as error:
        return DataError(
            f"{shown}: is not UTF-8 text (near row {row + 1}: {error.reason}); it is damaged or not a CSV file"
        )
    except csv.Error as error:
        return DataError(f"{shown}, after row {row}: {error}; the file is cut off or damaged")
    return DataError(f"{shown}: cannot be read as CSV; it is cut off or damaged")
