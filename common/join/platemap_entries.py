"""Platemaps: the wells that rows are for, and the columns to put beside their cells."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pycytominer_transform.common.errors import DataError, UsageError
from pycytominer_transform.common.join.platemap_file import PLATE, first_repeated, read_sheet
from pycytominer_transform.common.model.column_types import ColumnType, SampledColumn, keeps_as_number
from pycytominer_transform.common.model.conversion import csv_null_words
from pycytominer_transform.common.model.naming import find_name, listed, well_name
from pycytominer_transform.common.storage.options import StorageOptions

_METADATA = "Metadata_"


@dataclass(frozen=True)
class PlatemapKey:
    """A column of the platemap that decides which cells a row is for, and the name of the profiles' column."""

    column: str
    profiles: str

    @property
    def is_well(self) -> bool:
        """Whether its values are wells."""
        return any("well" in name.lower() for name in (self.column, self.profiles))

    def normal(self, text: str) -> str:
        """Return the normal form of a value: of a well ``A01``, else the text itself."""
        return well_name(text) if self.is_well else text


@dataclass(frozen=True)
class PlatemapColumn:
    """A column that goes beside the cells: its final name, its type, and the platemap's texts, row by row."""

    name: str
    type: ColumnType
    texts: tuple[str, ...]


class Platemap:
    """A platemap as it was read.

    Not a dataclass, because Prefect visits every value in the dataclasses that a task is given, for each task again.

    Parameters
    ----------
    fingerprint : str
        SHA-256 of the file, or of a batch's files.
    keys : sequence of PlatemapKey
        The columns by which rows are found.
    entries : sequence of tuple of str
        The keys' values, row by row, as `PlatemapKey.normal` writes them; no two are equal.
    columns : sequence of PlatemapColumn
        All other columns.
    plates : collection of str
        The plates of a batch that have a map, which are the entries' first key; empty for a single platemap.
    """

    def __init__(
        self, fingerprint: str, keys: Sequence[PlatemapKey], entries: Sequence[tuple[str, ...]],
        columns: Sequence[PlatemapColumn], plates: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.fingerprint = fingerprint
        self.keys = keys
        self.entries = entries
        self.columns = columns
        self.plates = plates

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entries in messages and counts."""
        return tuple(map(entry_label, self.entries))


def entry_label(entry: Sequence[str]) -> str:
    """Return the label of an entry, another one for each entry."""
    if len(entry) == 1:
        return entry[0]
    return "/".join(text.replace("\\", "\\\\").replace("/", "\\/") for text in entry)


def read_platemap(path: str, on: Sequence[str] = (), storage: StorageOptions | None = None) -> Platemap:
    """Read a platemap, or a batch's platemaps as one whose entries are for a plate and a well.

    Parameters
    ----------
    path : str
        A file with commas, tabs or semicolons between its fields, or a batch's folder, see `read_sheet`.
    on : sequence of str
        Keys: ``PLATEMAP_COLUMN=PROFILES_COLUMN``, or one name for both; by default ``well``, of a batch
        ``Assay_Plate_Barcode=plate`` and ``well_position=well``.
    storage : StorageOptions, optional
        How cloud storage is reached.

    Raises
    ------
    UsageError
        It cannot be read, or lacks a key.
    DataError
        It is empty, no text, has a row of other length than its header, or a column or an entry twice.
    """
    sheet = read_sheet(path, storage)
    on = on or (["well_position=well"] if sheet.is_batch else ["well"])
    keys = tuple(dict.fromkeys(_key(text, sheet.names, path) for text in on))
    if sheet.is_batch:
        plate = [key for key in keys if key.column == PLATE] or [PlatemapKey(PLATE, "plate")]
        keys = (*plate, *(key for key in keys if key.column != PLATE))
    rows = [row for _, row in sheet.rows]
    entries = [tuple(key.normal(row[key.column]) for key in keys) for row in rows]
    _check_entries(entries, [number for number, _ in sheet.rows], keys, path)
    key_columns = {key.column for key in keys}
    columns = tuple(_column(name, [row[name] for row in rows]) for name in sheet.names if name not in key_columns)
    if not columns:
        raise DataError(f"the platemap {path} has no column beside {listed(sheet.names)}, so there is nothing to add")
    if twice := first_repeated([column.name for column in columns]):
        raise DataError(f"the platemap {path}: two columns would both be named {twice}")
    plates = {entry[0] for entry in entries} if sheet.is_batch else ()
    return Platemap(sheet.fingerprint, keys, entries, columns, plates)


def _key(text: str, names: Sequence[str], path: str) -> PlatemapKey:
    column, _, profiles = text.partition("=")
    name = find_name(column, names, ("", _METADATA))
    if not name:
        raise UsageError(
            f"the platemap {path} has no column {column!r}; it has {listed(names, 20)}; say which it is with "
            f"--platemap-on, such as {names[0]}={profiles or column}"
        )
    return PlatemapKey(name, profiles or column)


def _check_entries(
    entries: Sequence[tuple[str, ...]], numbers: Sequence[str], keys: Sequence[PlatemapKey], path: str
) -> None:
    """Refuse two entries with the same keys, and an entry without a key."""
    first: dict[tuple[str, ...], str] = {}
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
