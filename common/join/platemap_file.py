"""Platemaps as rows of texts: one CSV or TSV file with a row per well, or a batch's folder with a file per layout.

Source: the platemaps of the Cell Painting Gallery, tab-separated and named ``.txt``, with ``well_position``; a batch's
``barcode_platemap.csv`` leads from each plate to its ``platemap/NAME.txt``.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pycytominer_transform.common.errors import DataError, UsageError
from pycytominer_transform.common.model.naming import find_name, listed
from pycytominer_transform.common.runtime.messages import logger
from pycytominer_transform.common.storage.location import named_location
from pycytominer_transform.common.storage.options import StorageOptions
from pycytominer_transform.common.storage.standard_io import read_small_file

PLATE, _MAP = "Assay_Plate_Barcode", "Plate_Map_Name"
_LIST = "barcode_platemap.csv"
_ENDINGS = (".txt", ".csv", ".tsv")
_DELIMITERS = ",\t;"


@dataclass(frozen=True)
class Sheet:
    """A table of texts: the names of its columns, and its rows by these names, each with its number for messages.

    A batch's has a first column `PLATE`, and one set of rows per plate. `fingerprint` is of the files' bytes.
    """

    names: list[str]
    rows: list[tuple[str, dict[str, str]]]
    fingerprint: str
    is_batch: bool = False


def read_sheet(path: str, storage: StorageOptions | None = None) -> Sheet:
    """Read a platemap's file, or the files of a batch's folder or prefix; empty columns and rows are left out.

    Raises
    ------
    UsageError
        It cannot be read, or the batch's list lacks a column.
    DataError
        A file is empty, no text, or has a row of other length than its header or a column twice; a batch's list names
        two maps for a plate, or there are two files for a map.
    """
    try:
        content = read_small_file(path, "the platemap", storage)
    except UsageError:
        if not named_location(path, storage).is_dir():
            raise
        return _read_batch(path.rstrip("/"), storage)
    return _parsed(content, path)


def _read_batch(folder: str, storage: StorageOptions | None) -> Sheet:
    maps, mark = _maps_of_plates(f"{folder}/{_LIST}", storage)
    present = named_location(f"{folder}/platemap", storage).entry_names()
    files = {name: [f"{name}{ending}" for ending in _ENDINGS if f"{name}{ending}" in present] for name in maps.values()}
    if several := [names for names in files.values() if len(names) > 1]:
        raise DataError(f"{folder}/platemap has {listed(several[0])}; leave only one of them")
    if absent := [plate for plate, name in maps.items() if not files[name]]:
        names = sorted({maps[plate] for plate in absent})
        logger.warning("no file in %s/platemap for %s, the map of %s", folder, listed(names), listed(absent))
    paths = {name: f"{folder}/platemap/{names[0]}" for name, names in files.items() if names}
    sheets = {
        name: _parsed(read_small_file(path, "the platemap", storage), path) for name, path in paths.items()
    }  # fmt: skip
    if not sheets:
        raise UsageError(f"the batch {folder} has no platemap/NAME.txt, .csv or .tsv of those that its {_LIST} names")
    # The maps may spell one column in several ways; the first is used.
    spelling = {name.lower(): name for sheet in reversed(sheets.values()) for name in reversed(sheet.names)}
    names = list(dict.fromkeys(spelling[name.lower()] for sheet in sheets.values() for name in sheet.names))
    if twice := find_name(PLATE, names):
        raise DataError(f"the platemaps in {folder}/platemap have a column {twice}, which only {_LIST} may have")
    nothing = dict.fromkeys(names, "")
    rows = [
        (f"{number} of {name}", nothing | {PLATE: plate} | {spelling[key.lower()]: text for key, text in row.items()})
        for plate, name in maps.items()
        if name in sheets
        for number, row in sheets[name].rows
    ]
    marks = [mark, *(f"{name} {sheet.fingerprint}" for name, sheet in sorted(sheets.items()))]
    fingerprint = hashlib.sha256("\n".join(marks).encode()).hexdigest()
    return Sheet([PLATE, *names], rows, fingerprint, is_batch=True)


def _maps_of_plates(path: str, storage: StorageOptions | None) -> tuple[dict[str, str], str]:
    """Return the name of each plate's map, and the fingerprint of the list."""
    sheet = _parsed(read_small_file(path, "the batch's list of platemaps", storage), path)
    plate_column, map_column = (find_name(name, sheet.names) for name in (PLATE, _MAP))
    if not plate_column or not map_column:
        raise UsageError(f"{path} has no column {_MAP if plate_column else PLATE}; it has {listed(sheet.names, 20)}")
    maps: dict[str, str] = {}
    for number, row in sheet.rows:
        plate, name = row[plate_column].strip(), row[map_column].strip()
        if not plate or not name:
            raise DataError(f"{path}, row {number}: has no {map_column if plate else plate_column}")
        if maps.setdefault(plate, name) != name:
            raise DataError(f"{path}, row {number}: {plate} has the map {name}, and {maps[plate]} in an earlier row")
    return maps, sheet.fingerprint


def _parsed(content: bytes, path: str) -> Sheet:
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
    if twice := first_repeated([name for _, name in header]):
        raise DataError(f"the platemap {path} names a column twice: {twice}")
    rows = [(str(number), {name: line[place] for place, name in header}) for number, line in rest]
    return Sheet([name for _, name in header], rows, hashlib.sha256(content).hexdigest())


def _delimiter(text: str) -> str:
    """Return the delimiter that occurs most often in the header."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def first_repeated(names: Sequence[str]) -> str:
    """Return the first name that occurs more than once in any letter case; empty if none does."""
    lower = [name.lower() for name in names]
    return next((name for name in names if lower.count(name.lower()) > 1), "")
