"""The beginning of an object list: its encoding, the lines of its head, its header and a sample of its rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.formats.csv.files import csv_rows
from pycytominer_transform.common.formats.csv.head import (
    DECIMAL_COMMA,
    FIRST_BYTES,
    CsvHead,
    with_decimal_points,
    with_distinct_columns,
)

DELIMITER = "\t"
_DATA = "[Data]"
_POPULATION = "Population - "
_MOST_BYTES = 1 << 26
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", 1),
    (codecs.BOM_UTF16_LE, "utf-16-le", 2),
    (codecs.BOM_UTF16_BE, "utf-16-be", 2),
)
_WINDOWS = "cp1252"
_DAMAGE = re.compile("[ÂÃ¬√].")
"""The bytes C2 and C3, which begin a character in UTF-8, as Windows and Macs read them, and the next one."""


@dataclass(frozen=True)
class Encoding:
    """How the characters of a file are stored.

    Attributes
    ----------
    codec : str
        Python's name of the encoding.
    width : int
        Bytes of a tab or of a line end.
    mark : int
        Bytes of the byte order mark.
    """

    codec: str
    width: int = 1
    mark: int = 0

    @classmethod
    def of(cls, first: bytes) -> Encoding:
        """Return the encoding of a file by its first bytes: its mark, else UTF-8, else that of Windows in the west."""
        for mark, codec, width in _MARKS:
            if first.startswith(mark):
                return cls(codec, width, len(mark))
        try:
            codecs.getincrementaldecoder("utf-8")().decode(first)
        except UnicodeDecodeError:
            return cls(_WINDOWS)
        return cls("utf-8")

    def utf8(self, content: bytes, shown: str) -> bytes:
        """Return text of this encoding as UTF-8.

        Raises
        ------
        BadDatasetError
            It is no such text.
        """
        if self.codec == "utf-8":
            return content  # The parser checks it.
        try:
            return content.decode(self.codec).encode()
        except UnicodeError as error:
            raise BadDatasetError(f"{shown}: holds bytes that are not {self.codec} text; it is damaged") from error


@dataclass(frozen=True)
class ObjectListHead:
    """What the beginning of an object list says.

    Attributes
    ----------
    properties : dict
        The lines of the head, such as ``Plate Name``.
    columns : tuple of str
        The names of all columns in their order, repaired; empty where a column has none.
    sample : CsvHead
        The columns that have a name, each once, and the first rows.
    rows_at : int
        The byte where the first row begins.
    first_row : int
        The number of its line.
    """

    encoding: Encoding
    properties: dict[str, str]
    columns: tuple[str, ...]
    sample: CsvHead
    rows_at: int
    first_row: int

    @property
    def population(self) -> str:
        """The name of the population; empty if the head does not say it."""
        return self.properties.get("Population", "").removeprefix(_POPULATION)


def is_object_list(file: BinaryIO) -> bool:
    """Return whether an open file begins as an object list does."""
    first = file.read(FIRST_BYTES)
    encoding = Encoding.of(first)
    head, found, _ = first[encoding.mark :].decode(encoding.codec, "replace").partition(_DATA)
    return bool(found) and f"\nPopulation{DELIMITER}" in head


def read_head(file: BinaryIO, shown: str) -> ObjectListHead:
    """Read the beginning of an open file.

    Raises
    ------
    BadDatasetError
        It is no object list, or ends within its head.
    """
    block, size = file.read(FIRST_BYTES), FIRST_BYTES
    while (head := _parse(block, shown, is_all=len(block) < size)) is None:
        size *= 8
        if size > _MOST_BYTES:
            raise BadDatasetError(f"{shown}: no line {_DATA} within {_MOST_BYTES} bytes; is it a list of objects?")
        block += file.read(size - len(block))
    return head


def repaired(name: str) -> str:
    """Return a name without the damage of UTF-8 that was read as something else (``Âµ`` and ``¬µ`` for ``µ``)."""
    return _DAMAGE.sub(_repaired, name)


def _repaired(damaged: re.Match[str]) -> str:
    for codec in (_WINDOWS, "mac_roman"):
        try:
            return damaged[0].encode(codec).decode()
        except UnicodeError:
            continue
    return damaged[0]


def _parse(block: bytes, shown: str, *, is_all: bool) -> ObjectListHead | None:
    """Parse the first bytes; None if they end before the first row does."""
    encoding = Encoding.of(block)
    if encoding.width == 1 and b"\0" in block:
        raise BadDatasetError(f"{shown}: holds a NUL byte; it is damaged or not a list of objects")
    try:
        # The last character may be cut off; that is noticed where rows are read.
        text = codecs.getincrementaldecoder(encoding.codec)().decode(block[encoding.mark :])
    except UnicodeDecodeError as error:
        raise BadDatasetError(
            f"{shown}: is not {encoding.codec} text; it is damaged or not a list of objects"
        ) from error
    lines = text.split("\n")
    at = next((place for place, line in enumerate(lines) if line.strip() == _DATA), -1)
    # The last of the lines may not be whole.
    if not is_all and (at < 0 or len(lines) < at + 4):
        return None
    if at < 0:
        raise BadDatasetError(f"{shown}: has no line {_DATA}; is it a list of objects of Harmony, and whole?")
    pairs = (line.strip("\r").split(DELIMITER) for line in lines[:at])
    properties = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) > 1}
    if len(lines) < at + 2 or not lines[at + 1].strip():
        raise BadDatasetError(f"{shown}: has no header below {_DATA}; it is cut off")
    header, *rows = _rows("\n".join(lines[at + 1 : None if is_all else -1]), shown)
    columns = tuple(map(repaired, header))
    until = "".join(f"{line}\n" for line in lines[: at + 2])
    rows_at = min(encoding.mark + len(until.encode(encoding.codec)), len(block))
    head = _sample(columns, rows, shown)
    return ObjectListHead(encoding, properties, columns, head, rows_at, at + 3)


def _rows(text: str, shown: str) -> list[list[str]]:
    try:
        return [row for row in csv_rows(io.StringIO(text, newline=""), DELIMITER) if row]
    except csv.Error as error:
        raise BadDatasetError(f"{shown}: is no table: {error}") from error


def _sample(columns: tuple[str, ...], rows: list[list[str]], shown: str) -> CsvHead:
    """Return the columns that have a name, and their values in the first rows; the last one is empty in every file."""
    last = len(columns) - 1 if not columns[-1].strip() else len(columns)
    whole = CsvHead(columns[:last], [row[:last] for row in rows], DELIMITER)
    return with_decimal_points(with_distinct_columns(whole, shown, 1))


def with_points(row: Iterable[str]) -> list[str]:
    """Return the fields of a row with a point in numbers that have a comma."""
    return [re.sub(rf"^{DECIMAL_COMMA}$", r"\1.\2", text) for text in row]
