"""Where the rows of each image set lie in an object list, found once, and how they are cut into parts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.formats.csv.files import csv_rows, cut_off
from pycytominer_transform.common.formats.harmony.columns import COLUMN, IMAGE_SET, ROW, well_of
from pycytominer_transform.common.formats.harmony.head import DELIMITER, ObjectListHead
from pycytominer_transform.common.model.conversion import number_of

if TYPE_CHECKING:
    import numpy as np

_BLOCK_BYTES = 1 << 24
_FIRST_LINES, _MOST_LINES = 16, 4096
"""Lines to compare at once: few at first, since a run may be short."""
_MOST_LINE = 1 << 26
_MOST_RUNS = 1 << 20
"""Runs of rows of one image set; a file with more is not sorted by them, and stays one part."""

ImageSet = tuple[int, ...]
"""The numbers of row, column, plane, timepoint and field, as far as a file has them; 0 for the others."""


@dataclass
class Runs:
    """The runs of rows of a file that belong to one image set.

    Attributes
    ----------
    image_sets : dict
        The place of each image set among all, from 0.
    of : list of int
        For each run the place of its image set.
    begins : list of int
        The byte where each run begins, and where the last one ends.
    rows : list of int
        The number of rows of each.
    sample : list of list of str
        The first row of each well, where annotations change.
    is_sorted : bool
        Whether the rows of an image set mostly follow each other; else all rows are one run.
    """

    image_sets: dict[ImageSet, int] = field(default_factory=dict)
    of: list[int] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sample: list[list[str]] = field(default_factory=list)
    is_sorted: bool = True

    def add(self, image_set: ImageSet, position: int) -> None:
        """Add a row of an image set that begins at a byte."""
        place = self.image_sets.setdefault(image_set, len(self.image_sets))
        if self.of and (self.of[-1] == place or not self.is_sorted):
            self.rows[-1] += 1
            return
        if len(self.of) == _MOST_RUNS:
            self.of, self.begins, self.rows, self.is_sorted = [0], self.begins[:1], [sum(self.rows) + 1], False
            return
        self.of.append(place)
        self.begins.append(position)
        self.rows.append(1)

    def add_rows(self, number: int) -> None:
        """Add further rows of the last image set; those before the first are left out."""
        if self.rows:
            self.rows[-1] += number


def find_runs(file: BinaryIO, head: ObjectListHead, shown: str) -> Runs:
    """Read all rows of an open file, and find the runs that belong to one image set.

    Raises
    ------
    BadDatasetError
        A row is not whole, or has no number where an image set has one.
    """
    return _Scan(file, head, shown).runs()


class _Scan:
    """One pass through the lines of a file; of most it compares no more than the first bytes with those before."""

    def __init__(self, file: BinaryIO, head: ObjectListHead, shown: str) -> None:
        import numpy as np

        self._file, self._head, self._shown = file, head, shown
        self._places = [(name, head.columns.index(name)) for name in IMAGE_SET if name in head.columns]
        self._fields = max(place for _, place in self._places) + 1
        order = "<" if head.encoding.codec != "utf-16-be" else ">"
        self._type = np.dtype(f"{order}u{head.encoding.width}")
        self._found = Runs()
        self._wells: set[tuple[int, int]] = set()
        self._keys: dict[tuple[str, ...], ImageSet] = {}
        self._row = head.first_row
        self._beginning: Any = None
        self._rest = b""

    def runs(self) -> Runs:
        """Read the file."""
        found, position = self._found, self._head.rows_at
        self._file.seek(position)
        while block := self._file.read(_BLOCK_BYTES):
            text = self._rest + block
            position += self._see(text, position)
            if len(self._rest) > _MOST_LINE:
                raise BadDatasetError(f"{self._shown}, row {self._row}: has no end within {_MOST_LINE} bytes")
        if self._rest:
            raise BadDatasetError(cut_off(self._shown))
        found.begins.append(position)
        return found

    def _see(self, text: bytes, position: int) -> int:
        """Find runs in the lines of a text; return how many bytes these have, and keep the rest for the next time."""
        import numpy as np

        width = self._head.encoding.width
        characters = np.frombuffer(text, self._type, len(text) // width)
        ends = np.flatnonzero(characters == ord("\n"))
        size = (int(ends[-1]) + 1) * width if len(ends) else 0
        self._rest = text[size:]
        if not size:
            return 0
        begins = np.empty_like(ends)
        begins[0], begins[1:] = 0, ends[:-1] + 1
        lengths = ends - begins
        # An empty line is no row.
        empty = (lengths == 0) | ((lengths == 1) & (characters[begins] == ord("\r")))
        line, count = 0, len(ends)
        while line < count:
            if empty[line]:
                line += 1
                self._row += 1
                continue
            same = self._same(characters, begins[line:], empty[line:])
            if same:
                self._found.add_rows(int(np.count_nonzero(~empty[line : line + same])))
            else:
                begin = int(begins[line])
                same = 1
                self._begin(text[begin * width : int(ends[line]) * width], position + begin * width)
            self._row += same
            line += same
        return size

    def _same(self, characters: np.ndarray[Any, Any], begins: np.ndarray[Any, Any], empty: np.ndarray[Any, Any]) -> int:
        """Count the next lines that begin as those of the current run do, or are empty."""
        import numpy as np

        if self._beginning is None:
            return 0
        steps = np.arange(len(self._beginning))
        first, size = 0, _FIRST_LINES
        while first < len(begins):
            # A line may be shorter than the beginning; its end differs then.
            inside = np.minimum(begins[first : first + size, None] + steps, len(characters) - 1)
            differs = (characters[inside] != self._beginning).any(axis=1) & ~empty[first : first + size]
            if differs.any():
                return first + int(differs.argmax())
            first, size = first + size, min(2 * size, _MOST_LINES)
        return len(begins)

    def _begin(self, line: bytes, position: int) -> None:
        """Add a line that may begin another run."""
        import numpy as np

        found, text = self._found, self._decoded(line)
        *first, _ = (*text.split(DELIMITER, self._fields), "")[: self._fields + 1]
        key = tuple(first[place] if place < len(first) else "" for _, place in self._places)
        if not text.strip():
            # As spreadsheets leave them at a table's end; the reader drops and counts those below the first row.
            found.add_rows(1)
            return
        image_set = self._keys.get(key)
        if image_set is None:
            image_set = self._keys[key] = self._numbers(self._fields_of(text))
        beginning = DELIMITER.join(first) + DELIMITER
        self._beginning = np.frombuffer(beginning.encode(self._head.encoding.codec), self._type)
        found.add(image_set, position)

    def _decoded(self, line: bytes) -> str:
        try:
            return line.decode(self._head.encoding.codec).removesuffix("\r")
        except UnicodeError as error:
            raise BadDatasetError(f"{self._shown}, row {self._row}: is damaged ({error})") from error

    def _fields_of(self, line: str) -> list[str]:
        """Split a line.

        Raises
        ------
        BadDatasetError
            It has other fields than the header.
        """
        try:
            fields = next(csv_rows(io.StringIO(line, newline=""), DELIMITER), [])
        except csv.Error as error:
            raise BadDatasetError(f"{self._shown}, row {self._row}: is damaged ({error})") from error
        if len(fields) != len(self._head.columns):
            raise BadDatasetError(
                f"{self._shown}, row {self._row}: {len(fields)} fields where the header has {len(self._head.columns)}; "
                "the file is cut off or damaged"
            )
        return fields

    def _numbers(self, fields: list[str]) -> ImageSet:
        """Return the numbers of an image set, and add the first row of each well to the sample."""
        numbers = dict.fromkeys(IMAGE_SET, 0)
        for name, place in self._places:
            text = fields[place]
            try:
                number = number_of(text, "int64")
            except (ValueError, OverflowError):
                number = None
            if number is None:
                what = f"{text!r} is not a whole number" if text.strip() else "is empty"
                raise BadDatasetError(f"{self._shown}, row {self._row}, column {name!r}: {what}; correct it")
            numbers[name] = int(number)
        well = (numbers[ROW], numbers[COLUMN])
        if well not in self._wells:
            try:
                well_of(*well)
            except ValueError as error:
                raise BadDatasetError(f"{self._shown}, row {self._row}: no plate has a well in {error}") from error
            self._wells.add(well)
            self._found.sample.append(fields)
        return tuple(numbers.values())


class PartRows(NamedTuple):
    """The rows of a file that belong to one part.

    Attributes
    ----------
    ranges : tuple of (int, int)
        First and last byte of each run of rows.
    rows, bytes : int
        How many there are.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    rows: int = 0
    bytes: int = 0


def cut_into_parts(tables: Mapping[str, Runs], part_size: int) -> list[dict[str, PartRows]]:
    """Cut the files of a dataset into parts of whole image sets, ascending; each has about `part_size` bytes.

    Returns
    -------
    list of dict
        For each part, by table, its rows; a table without any is there too.
    """
    import numpy as np

    image_sets = sorted({image_set for runs in tables.values() for image_set in runs.image_sets})
    rank_of = {image_set: rank for rank, image_set in enumerate(image_sets)}
    ranks, sizes = {}, np.zeros(len(image_sets), np.int64)
    for name, runs in tables.items():
        rank_by_place = np.array([rank_of[image_set] for image_set in runs.image_sets], np.int64)
        ranks[name] = rank_by_place[np.array(runs.of, np.int64)]
        np.add.at(sizes, ranks[name], np.diff(np.array(runs.begins, np.int64)))
    part_of = np.zeros(len(image_sets), np.int64)
    if all(runs.is_sorted for runs in tables.values()):
        part = filled = 0
        for rank, size in enumerate(sizes.tolist()):
            if filled >= part_size:
                part, filled = part + 1, 0
            part_of[rank] = part
            filled += size
    parts: list[dict[str, PartRows]] = [
        dict.fromkeys(tables, PartRows()) for _ in range(int(part_of.max(initial=0)) + 1)
    ]
    for name, runs in tables.items():
        _distribute(name, runs, part_of[ranks[name]], parts)
    return parts


def _distribute(name: str, runs: Runs, part_of_run: np.ndarray[Any, Any], parts: list[dict[str, PartRows]]) -> None:
    """Add the rows of a table to the parts; runs of one part that follow each other become one range."""
    import numpy as np

    if not len(part_of_run):
        return
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(part_of_run)) + 1))
    rows = np.add.reduceat(np.array(runs.rows, np.int64), firsts).tolist()
    begins = np.array(runs.begins, np.int64)
    ends = begins[np.append(firsts[1:], len(part_of_run))].tolist()
    ranges: list[list[tuple[int, int]]] = [[] for _ in parts]
    count = [0] * len(parts)
    for part, begin, end, number in zip(part_of_run[firsts].tolist(), begins[firsts].tolist(), ends, rows, strict=True):
        ranges[part].append((begin, end - 1))
        count[part] += number
    for part, some in enumerate(ranges):
        parts[part][name] = PartRows(tuple(some), count[part], sum(last - first + 1 for first, last in some))
