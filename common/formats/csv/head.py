"""The beginning of a CSV file: its header and a sample of its rows."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from pycytominer_transform.common.errors import BadDatasetError, DataError, describe_os_error
from pycytominer_transform.common.formats.csv.files import LINE_ENDS, csv_rows, cut_off, is_packed, nul_fault, open_csv
from pycytominer_transform.common.model.column_types import NULL_WORDS, is_number, names_metadata
from pycytominer_transform.common.model.naming import listed
from pycytominer_transform.common.storage.location import Location

FIRST_BYTES = 1 << 16
DECIMAL_COMMA = r"([-+]?[0-9]*),([0-9]+(?:[eE][-+]?[0-9]+)?)"
"""Pattern of a number with a comma, and its parts."""
_DECIMAL_POINT = DECIMAL_COMMA.replace(",", r"\.")
_DELIMITERS = (",", ";", "\t")
_HEADER_BYTES = 1 << 20
_MOST_COPIES = 10_000
_MOST_BYTES = 1 << 26


@dataclass(frozen=True)
class CsvHead:
    """The rows in the first bytes of a CSV file.

    Attributes
    ----------
    header : tuple of str
        Column names; empty if the file is.
    sample : list of list of str
        The first whole rows of values; empty if the file has none.
    delimiter : str
        A comma, a semicolon or a tab.
    labels : tuple of str
        The names above the column names, if the file has two header rows.
    notes : tuple of str
        What was passed over, or read otherwise than it is written, for the user to know.
    is_whole : bool
        Whether the sample is all rows of the file.
    decimal_point : str
        What the measurements of the sample are written with, a point or a comma; empty if none has either.
    """

    header: tuple[str, ...]
    sample: list[list[str]]
    delimiter: str = ","
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_whole: bool = False
    decimal_point: str = ""


def read_head(
    path: Location, shown: str, *, size: int = FIRST_BYTES, known: Collection[str] = (), header_rows: int = 1,
    must_end: bool = True,
) -> CsvHead:  # fmt: skip
    """Read a CSV file's header and first rows.

    Parameters
    ----------
    shown : str
        The file's name in messages.
    size : int
        Bytes to read; more where they do not hold the first row.
    known : collection of str
        Names that the header should hold, to choose the delimiter.
    header_rows : int
        2 if a row of labels stands above the column names.
    must_end : bool
        Whether a last row without a line end is an error.

    Raises
    ------
    BadDatasetError
        It is no regular file, is not UTF-8 text, holds NUL bytes, names two columns alike, or ends within a row.
    StorageError
        It cannot be read.
    """
    try:
        with open_csv(path, shown) as file:
            # In two steps: to allocate `size` bytes takes longer than to read most files.
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
            if must_end and head.sample and not is_packed(path):
                file.seek(-1, os.SEEK_END)
                if file.read(1) not in LINE_ENDS:
                    raise BadDatasetError(cut_off(shown))
    except BadDatasetError:
        raise
    except DataError as error:
        raise BadDatasetError(str(error)) from error
    except OSError as error:
        raise describe_os_error(error, f"read {path}") from error
    return with_decimal_points(with_distinct_columns(head, shown, header_rows))


def with_distinct_columns(head: CsvHead, shown: str, header_rows: int) -> CsvHead:
    """Leave out columns that have no name, or are copies of another one.

    Raises
    ------
    BadDatasetError
        Two columns of one name differ.
    """
    names = head.header if header_rows == 1 else tuple(map("/".join, zip(head.labels, head.header, strict=False)))
    if len(set(names)) == len(names) and all(map(str.strip, head.header)):
        return head
    places: dict[str, int] = {}
    copies: dict[str, None] = {}
    for place, name in enumerate(names):
        first = places.setdefault(name, place)
        if first == place or not head.header[place].strip():
            continue
        copies[name] = None
        for number, row in enumerate(head.sample, start=header_rows + 1):
            if place < len(row) and row[place] != row[first]:
                raise BadDatasetError(differing_copies(shown, number, name, row[first], row[place]))
    if len(names) - len(places) > _MOST_COPIES:
        raise BadDatasetError(f"{shown}: the header has {len(names) - len(places)} copies of names; is it no header?")
    notes = _notes_on_nameless(head)
    if copies:
        notes.append(f"the header names {listed([*copies])} more than once; the copies are equal, and one is taken")
    kept = [place for place in places.values() if head.header[place].strip()]
    return replace(
        head,
        header=tuple(head.header[place] for place in kept),
        labels=tuple(head.labels[place] for place in kept) if head.labels else (),
        sample=[[row[place] for place in kept if place < len(row)] for row in head.sample],
        notes=(*head.notes, *notes),
    )


def _notes_on_nameless(head: CsvHead) -> list[str]:
    notes, empty = [], []
    for place in (place for place, column in enumerate(head.header) if not column.strip()):
        value = next((row[place] for row in head.sample if place < len(row) and row[place]), "")
        if value:
            notes.append(f"column {place + 1} has no name; it is left out, with its values ({value}, ...)")
        else:
            empty.append(str(place + 1))
    if empty:
        notes.append(f"columns without a name and without values are left out: {listed(empty)}")
    return notes


def differing_copies(shown: str, row: int, column: str, one: object, other: object) -> str:
    """Return the message for two columns of one name that are no copies."""
    return (
        f"{shown}, row {row}: the header names a column twice, {column}, and here one is {one} and the other {other}; "
        "rename one of them"
    )


def with_decimal_points(head: CsvHead) -> CsvHead:
    """Write the measurements of the sample with points, if they have commas."""
    if head.delimiter == ",":
        return head
    columns = [place for place, name in enumerate(head.header) if not names_metadata(name)]
    texts = {place: [row[place] for row in head.sample if place < len(row)] for place in columns}
    example = ""
    for place, column in texts.items():
        commas = [text for text in column if re.fullmatch(DECIMAL_COMMA, text)]
        if commas and all(text in NULL_WORDS or is_number(text.replace(",", ".")) for text in column):
            example = example or commas[0]
            for row in head.sample:
                if place < len(row):
                    row[place] = row[place].replace(",", ".")
    if not example:
        has_points = any(re.fullmatch(_DECIMAL_POINT, text) for column in texts.values() for text in column)
        return replace(head, decimal_point="." if has_points else "")
    return replace(
        head,
        decimal_point=",",
        notes=(*head.notes, f"numbers are written with decimal commas ({example}) and read as such"),
    )


def _parse(block: bytes, delimiter: str, header_rows: int, *, is_all: bool, shown: str) -> CsvHead | None:
    """Parse the first bytes; None if they end before the first row of values does."""
    if b"\0" in block:
        raise BadDatasetError(f"{shown}: {nul_fault(block)}")
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
        # The last row may not be whole.
        rows = rows[:-1]
        if len(rows) < header_rows + 1:
            return None
    if len(rows) < header_rows:
        return CsvHead((), [], delimiter)
    labels = tuple(rows[0]) if header_rows > 1 else ()
    return CsvHead(tuple(rows[header_rows - 1]), rows[header_rows:], delimiter, labels, is_whole=is_all)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Split a text into its rows, without empty ones."""
    plain = text.replace("\r\n", "\n") if "\r" in text else text
    if '"' not in plain and "\r" not in plain:
        # The same, in a third of the time.
        return [line.split(delimiter) for line in plain.split("\n") if line]
    return [row for row in csv_rows(io.StringIO(text, newline=""), delimiter) if row]


def delimiter_of(first: bytes, known: Collection[str]) -> str:
    """Return the delimiter of a file, a comma, a semicolon or a tab, judged by the header in its first bytes.

    The delimiter that gives more of the known column names is chosen; then the one that gives more fields; then the
    first of them. So a semicolon within a name, quoted or not, decides nothing.
    """
    first = first[:_HEADER_BYTES]
    others = [delimiter for delimiter in _DELIMITERS[1:] if delimiter.encode() in first]
    if not others:
        return _DELIMITERS[0]
    text = first.decode("utf-8-sig", "replace")
    return max((_DELIMITERS[0], *others), key=lambda delimiter: _hits(text, delimiter, known))


def _hits(text: str, delimiter: str, known: Collection[str]) -> tuple[int, int]:
    try:
        header = next((row for row in csv_rows(io.StringIO(text, newline=""), delimiter) if row), [])
    except csv.Error:
        return -1, 0
    return sum(name in known for name in header), len(header)
