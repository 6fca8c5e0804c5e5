"""The image sets of a dataset: the rows that hold them in each table, and how they are cut into parts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pycytominer_transform.common.model.conversion import number_of
from pycytominer_transform.common.model.naming import WHOLE_NUMBER
from pycytominer_transform.common.model.preset import Preset

Run = tuple[int, int]
"""The numbers of the first and last of some rows that follow each other."""
ImageSet = tuple[Any, Any]
"""Table number and image number, equal where they are joined as equal, however they are stored."""
_NUMBER_AS_TEXT = re.compile(r"-?[1-9][0-9]{0,17}|0")


@dataclass(frozen=True)
class ImageSetRows:
    """The rows of one table by image set.

    Attributes
    ----------
    columns : dict
        The columns, as in the source; for each its declared type, where there is one.
    rows_of : dict
        For each image set its number of rows.
    runs_of : dict
        For each image set the numbers of the first and last row of each run of its rows; empty where rows have none.
    whole_numbers : bool
        Whether all its table numbers are stored as whole numbers, none as text.
    """

    name: str
    columns: dict[str, str]
    rows_of: dict[ImageSet, int]
    runs_of: dict[ImageSet, list[Run]]
    whole_numbers: bool = True


@dataclass
class ImageSetPart:
    """Some image sets of a dataset."""

    tables: dict[str, ImageSetRows]
    image_sets: list[ImageSet]
    bytes_a_cell: float

    def runs_of(self, table: str) -> tuple[Run, ...]:
        """Return the numbers of the first and last row of each run of a table's rows, ascending."""
        runs = self.tables[table].runs_of
        merged: list[Run] = []
        for first, last in sorted(run for image_set in self.image_sets for run in runs.get(image_set, ())):
            if merged and merged[-1][1] + 1 == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return tuple(merged)

    def rows_of(self, table: str) -> int:
        """Count a table's rows."""
        return sum(self.tables[table].rows_of.get(image_set, 0) for image_set in self.image_sets)

    def bytes_of(self, table: str) -> int:
        """Estimate a table's share of the dataset, in bytes."""
        return round(self.rows_of(table) * len(self.tables[table].columns) * self.bytes_a_cell)


def cut_into_parts(tables: dict[str, ImageSetRows], preset: Preset, size: int, part_size: int) -> list[ImageSetPart]:
    """Cut a dataset of `size` bytes into parts of whole image sets, ascending by table number and image number."""
    tables = _with_all_keys(tables, preset)
    image_sets = sorted({image_set for table in tables.values() for image_set in table.rows_of}, key=_sort_key)
    cells = sum(sum(table.rows_of.values()) * len(table.columns) for table in tables.values())
    bytes_a_cell = size / max(cells, 1)
    if any(table.rows_of and not table.runs_of for table in tables.values()):
        return [ImageSetPart(tables, image_sets, bytes_a_cell)]
    parts: list[ImageSetPart] = []
    filled = float(part_size)
    for image_set in image_sets:
        if filled >= part_size:
            parts.append(ImageSetPart(tables, [], bytes_a_cell))
            filled = 0
        parts[-1].image_sets.append(image_set)
        filled += bytes_a_cell * sum(table.rows_of.get(image_set, 0) * len(table.columns) for table in tables.values())
    return parts or [ImageSetPart(tables, [], bytes_a_cell)]


def _with_all_keys(tables: dict[str, ImageSetRows], preset: Preset) -> dict[str, ImageSetRows]:
    """Return the tables; image sets without a table number get the one that the other tables' rows of the image have.

    Such tables are joined on the image number alone. Where an image number belongs to several table numbers, its rows
    cannot be told apart; then all are one image set, and so the file is one part.
    """
    without = [table for table in tables.values() if preset.table_number not in table.columns]
    if not without or len(without) == len(tables):
        return tables
    with_both = {image_set for table in tables.values() if table not in without for image_set in table.rows_of}
    numbers = {image: number for number, image in with_both}
    told_apart = len(numbers) == len(with_both)

    def key(image_set: ImageSet) -> ImageSet:
        return (numbers.get(image_set[1]), image_set[1]) if told_apart else (None, None)

    return {name: with_keys(table, key) for name, table in tables.items()}


def with_keys(table: ImageSetRows, key: Callable[[ImageSet], ImageSet]) -> ImageSetRows:
    """Return a table with other keys of its image sets; those of one key become one."""
    rows_of: dict[ImageSet, int] = defaultdict(int)
    runs_of: dict[ImageSet, list[Run]] = defaultdict(list)
    for image_set, rows in table.rows_of.items():
        rows_of[key(image_set)] += rows
    for image_set, runs in table.runs_of.items():
        runs_of[key(image_set)] += runs
    return replace(table, rows_of=rows_of, runs_of=runs_of)


def joined_as(image_set: ImageSet) -> ImageSet:
    """Return the numbers of an image set as the joined rows have them: ``'1'`` and ``1.0`` are 1."""
    table_number, image_number = image_set
    if isinstance(table_number, str) and _NUMBER_AS_TEXT.fullmatch(table_number):
        table_number = int(table_number)
    try:
        if isinstance(image_number, str | bytes):
            text = image_number if isinstance(image_number, str) else image_number.decode()
            image_number = number_of(text, "int64")
    except (ValueError, OverflowError):
        pass  # Refused, with its row, when the rows are read.
    return table_number, image_number


def _sort_key(image_set: ImageSet) -> tuple[tuple[int, float, str], ...]:
    """Return the key that joined rows are sorted by: nothing, then numbers (as text or not) by value, then texts."""

    def place(value: Any) -> tuple[int, float, str]:
        if value is None:
            return 0, 0, ""
        if isinstance(value, str) and re.fullmatch(WHOLE_NUMBER, value):
            return 1, int(value), value
        return (2, 0, str(value)) if isinstance(value, str | bytes) else (1, value, str(value))

    return place(image_set[0]), place(image_set[1])
