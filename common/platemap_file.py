"""Platemaps: CSV or TSV files that say what is in each well, one row per well.

Source: the platemaps of the Cell Painting Gallery, tab-separated and named ``.txt``, with ``well_position`` first.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pycytominer_transform.common.column_types import ColumnType, SampledColumn, keeps_as_number
from pycytominer_transform.common.conversion import csv_null_words
from pycytominer_transform.common.errors import DataError, UsageError
from pycytominer_transform.common.naming import listed
from pycytominer_transform.common.standard_io import read_small_file
from pycytominer_transform.common.storage_options import StorageOptions

_METADATA = "Metadata_"
_DELIMITERS = ",\t;"
# A01, a1, and IN Carta's A - 1.
_WELL = re.compile(r"\s*([A-Za-z]{1,2})[ -]*0*([0-9]{1,2})\s*")


@dataclass(frozen=True)
class PlatemapKey:
    """A column of the platemap that says which cells a row is for, and what the profiles' column is called."""

    column: str
    profiles: str

    @property
    def is_well(self) -> bool:
        """Whether its values are wells."""
        return any("well" in name.lower() for name in (self.column, self.profiles))

    def same(self, text: str) -> str:
        """Write a value as all are written that mean the same: a well as ``A01``, another text as it stands."""
        well = _WELL.fullmatch(text) if self.is_well else None
        return f"{well[1].upper()}{int(well[2]):02d}" if well else text


@dataclass(frozen=True)
class PlatemapColumn:
    """A column that goes beside the cells: its final name, its type, and the platemap's texts, row by row."""

    name: str
    type: ColumnType
    texts: tuple[str, ...]


class Platemap:
    """A platemap as it was read.

    No dataclass: Prefect looks at every value within the dataclasses that a task is given, for each task anew.

    Parameters
    ----------
    fingerprint : str
        SHA-256 of the file.
    keys : sequence of PlatemapKey
        What rows are found by.
    entries : sequence of tuple of str
        The keys' values, row by row, as `PlatemapKey.same` writes them; no two are equal.
    columns : sequence of PlatemapColumn
        All other columns.
    """

    def __init__(
        self, fingerprint: str, keys: Sequence[PlatemapKey], entries: Sequence[tuple[str, ...]],
        columns: Sequence[PlatemapColumn],
    ) -> None:  # fmt: skip
        self.fingerprint = fingerprint
        self.keys = keys
        self.entries = entries
        self.columns = columns

    @property
    def labels(self) -> tuple[str, ...]:
        """What messages and counts call the entries."""
        return tuple(map(entry_label, self.entries))


def entry_label(entry: Sequence[str]) -> str:
    """Write an entry's keys as one text, another for each entry."""
    if len(entry) == 1:
        return entry[0]
    return "/".join(text.replace("\\", "\\\\").replace("/", "\\/") for text in entry)


def read_platemap(path: str, on: Sequence[str] = ("well",), storage: StorageOptions | None = None) -> Platemap:
    """Read a platemap.

    Parameters
    ----------
    path : str
        A file with commas, tabs or semicolons between its fields.
    on : sequence of str
        Keys: ``PLATEMAP_COLUMN=PROFILES_COLUMN``, or one name for both.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        It cannot be read, or lacks a key.
    DataError
        It is empty, no text, has a row of other length than its header, or a column or an entry twice.
    """
    content = read_small_file(path, "the platemap", storage)
    rows = _rows(content, path)
    names = [name for _, name in rows.header]
    keys = tuple(dict.fromkeys(_key(text, names, path) for text in on))
    at = {name: [line[place] for _, line in rows.lines] for place, name in rows.header}
    entries = [tuple(key.same(at[key.column][row]) for key in keys) for row in range(len(rows.lines))]
    _check_entries(entries, [number for number, _ in rows.lines], keys, path)
    others = [name for name in names if name not in {key.column for key in keys}]
    columns = tuple(_column(name, at[name]) for name in others)
    if not columns:
        raise DataError(f"the platemap {path} has no column beside {listed(names)}, so there is nothing to add")
    if len({column.name.lower() for column in columns}) < len(columns):
        raise DataError(f"the platemap {path}: two columns would both be named {_twice([c.name for c in columns])}")
    return Platemap(hashlib.sha256(content).hexdigest(), keys, entries, columns)


@dataclass
class _Rows:
    """The columns that have a name, each with its place, and the rows that are not empty, each with its number."""

    header: list[tuple[int, str]]
    lines: list[tuple[int, list[str]]]


def _rows(content: bytes, path: str) -> _Rows:
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise DataError(f"the platemap {path} holds NUL bytes; save it as CSV in UTF-8")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"the platemap {path} is not UTF-8 text; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"the platemap {path} is not CSV: {error}") from error
    filled = [(number, line) for number, line in enumerate(lines, start=1) if any(map(str.strip, line))]
    if len(filled) < 2:
        raise DataError(f"the platemap {path} has no {'entries' if filled else 'header; it is empty'}")
    (_, names), *rest = filled
    for number, line in rest:
        if len(line) != len(names):
            raise DataError(f"the platemap {path}, row {number}: {len(line)} fields where the header has {len(names)}")
    header = [(place, name.strip()) for place, name in enumerate(names)]
    for place, name in header:
        if not name and any(line[place] for _, line in rest):
            raise DataError(f"the platemap {path}: column {place + 1} has values but no name")
    header = [(place, name) for place, name in header if name]
    if twice := _twice([name for _, name in header]):
        raise DataError(f"the platemap {path} names a column twice: {twice}")
    return _Rows(header, rest)


def _delimiter(text: str) -> str:
    """Choose what is between the fields: what the header has most of."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _twice(names: Sequence[str]) -> str:
    """Give the first name that is there more than once, in any letter case; empty if none is."""
    lower = [name.lower() for name in names]
    return next((name for name in names if lower.count(name.lower()) > 1), "")


def _key(text: str, names: Sequence[str], path: str) -> PlatemapKey:
    column, _, profiles = text.partition("=")
    found = find_name(column, names, ("", _METADATA))
    if not found:
        raise UsageError(
            f"the platemap {path} has no column {column!r}; it has {listed(names, 20)}; say which it is with "
            f"--platemap-on, such as {names[0]}={profiles or column}"
        )
    return PlatemapKey(found, profiles or column)


def find_name(wanted: str, names: Sequence[str], beginnings: Sequence[str]) -> str:
    """Find a name as it stands, else in any letter case, after each beginning in turn; empty if there is none."""
    for beginning in beginnings:
        if beginning + wanted in names:
            return beginning + wanted
        for name in names:
            if name.lower() == (beginning + wanted).lower():
                return name
    return ""


def _check_entries(
    entries: Sequence[tuple[str, ...]], numbers: Sequence[int], keys: Sequence[PlatemapKey], path: str
) -> None:
    """Refuse entries of the same key, and such as lack a key."""
    first: dict[tuple[str, ...], int] = {}
    for entry, number in zip(entries, numbers, strict=True):
        for key, text in zip(keys, entry, strict=True):
            if not text.strip():
                raise DataError(f"the platemap {path}, row {number}: has no {key.column}")
        if entry in first:
            raise DataError(
                f"the platemap {path}: rows {first[entry]} and {number} are both for {entry_label(entry)}; leave only "
                "one, or name further keys with --platemap-on, such as plate,well"
            )
        first[entry] = number


def _column(name: str, texts: Sequence[str]) -> PlatemapColumn:
    final = name if name.startswith(_METADATA) else _METADATA + name
    sample = SampledColumn(final)
    for text in texts:
        sample.see(text)
    kind = sample.decide()
    if kind != "string" and not all(text in csv_null_words() or keeps_as_number(text, kind) for text in texts):
        kind = "string"
    return PlatemapColumn(final, kind, tuple(texts))
