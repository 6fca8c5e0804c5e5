"""The beginning of a CSV file: its header and a sample of its rows."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from pycytominer_transform.common.csv_files import LINE_ENDS, cut_off, delimiter_of, is_packed, open_csv
from pycytominer_transform.common.errors import BadDatasetError, DataError, describe_os_error
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.place import Place

FIRST_BYTES = 1 << 16
_MOST_BYTES = 1 << 26
_HEADERS_KEPT = 64
"""Most files of a source have one of a few headers."""


@dataclass(frozen=True)
class CsvHead:
    """What the first bytes of a CSV file show.

    Attributes
    ----------
    header : tuple of str
        Column names; empty where the file is.
    sample : list of list of str
        The first whole rows of values.
    delimiter : str
        What is between its fields, a comma or a semicolon.
    labels : tuple of str
        What stands above each column's name, where the file has two header rows.
    """

    header: tuple[str, ...]
    sample: list[list[str]]
    delimiter: str = ","
    labels: tuple[str, ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether any row of values follows the header."""
        return bool(self.sample)


def read_head(
    path: Place,
    shown: str,
    *,
    size: int = FIRST_BYTES,
    known: Collection[str] = (),
    header_rows: int = 1,
    must_end: bool = True,
) -> CsvHead:
    """Read a CSV file's header and first rows.

    Parameters
    ----------
    path : Place
        The file.
    shown : str
        How messages call it.
    size : int
        Bytes to read; more where they do not hold the first row.
    known : collection of str
        Names that the header should hold, to decide what is between its fields.
    header_rows : int
        2 where a row of labels stands above that of the column names.
    must_end : bool
        Whether a last row without a line end is an error.

    Raises
    ------
    BadDatasetError
        It is no regular file, is not UTF-8 text, holds NUL bytes, names a column twice, or ends within a row.
    StorageError
        It cannot be read.
    """
    try:
        if not path.is_file() and path.exists():
            raise BadDatasetError(f"{shown}: is no regular file")
        with open_csv(path, shown) as file:
            # Room for all that may be read takes longer to make than most files to be read.
            block = file.read(min(size, FIRST_BYTES))
            block += file.read(size - len(block)) if len(block) == FIRST_BYTES < size else b""
            delimiter = delimiter_of(block, known)
            while (head := _parse(block, delimiter, header_rows, is_all=len(block) < size, shown=shown)) is None:
                size *= 8
                if size > _MOST_BYTES:
                    raise BadDatasetError(
                        f"{shown}: no end of the first two rows within {_MOST_BYTES} bytes; not a CSV file?"
                    )
                block += file.read(size - len(block))
            if must_end and head.has_rows and not is_packed(path):
                file.seek(-1, os.SEEK_END)
                if file.read(1) not in LINE_ENDS:
                    raise BadDatasetError(cut_off(shown))
    except BadDatasetError:
        raise
    except DataError as error:
        raise BadDatasetError(str(error)) from error
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error
    names = head.header if header_rows == 1 else tuple(map("/".join, zip(head.labels, head.header, strict=False)))
    if twice := _named_twice(names):
        raise BadDatasetError(f"{shown}: the header names a column twice: {listed(twice)}")
    return head


@lru_cache(_HEADERS_KEPT)
def _named_twice(names: tuple[str, ...]) -> list[str]:
    return sorted(name for name, number in Counter(names).items() if number > 1)


def _parse(block: bytes, delimiter: str, header_rows: int, *, is_all: bool, shown: str) -> CsvHead | None:
    """Parse the first bytes; None where they end before the first row of values does."""
    if b"\0" in block:
        raise BadDatasetError(f"{shown}: holds NUL bytes; it is damaged or not a CSV file")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(block, final=is_all)
    except UnicodeDecodeError as error:
        raise BadDatasetError(
            f"{shown}: is not UTF-8 text (byte {error.start}); it is damaged or not a CSV file"
        ) from error
    try:
        rows = _rows(text, delimiter)
    except csv.Error as error:
        raise BadDatasetError(f"{shown}: is not CSV: {error}") from error
    if not is_all:
        # The last row may go on behind the block.
        rows = rows[:-1]
        if len(rows) < header_rows + 1:
            return None
    if len(rows) < header_rows:
        return CsvHead((), [], delimiter)
    labels = tuple(rows[0]) if header_rows > 1 else ()
    return CsvHead(_same_names(tuple(rows[header_rows - 1])), rows[header_rows:], delimiter, labels)


@lru_cache(_HEADERS_KEPT)
def _same_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the names of an earlier file that has the same, whose hashes are known."""
    return names


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Give the rows that are not empty."""
    plain = text.replace("\r\n", "\n") if "\r" in text else text
    if '"' not in plain and "\r" not in plain and len(plain) <= csv.field_size_limit():
        # The same, in a third of the time.
        return [line.split(delimiter) for line in plain.split("\n") if line]
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
