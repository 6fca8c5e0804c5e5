"""The combined layout of CSV files: several tables side by side, each column's table named in the row above its name.

Source: CellProfiler's ExportToSpreadsheet, which writes objects of the same number side by side, one image after the
other, and leaves a table's fields empty where it has fewer objects than another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.csv.head import CsvHead
from pycytominer_transform.common.model.column_types import NULL_WORDS
from pycytominer_transform.common.model.naming import table_prefix
from pycytominer_transform.common.model.preset import Preset

if TYPE_CHECKING:
    import pyarrow as pa

HEADER_ROWS = 2


@dataclass(frozen=True)
class CombinedTable:
    """One table within combined files.

    Attributes
    ----------
    table : str
        The label above its columns, in any letter case.
    image : str
        The label of the columns that all tables share.
    object_number : str
        The column that numbers the objects: the table's own; if it has none, the first table's for all tables.
    """

    table: str
    image: str
    object_number: str

    def head(self, whole: CsvHead) -> CsvHead:
        """Return this table's columns and rows in the first bytes of a combined file."""
        places = self._places(whole.labels, whole.header)
        own = [place for place in places if self._is_own(whole.labels[place], whole.header[place])]
        rows = [
            [row[place] for place in places]
            for row in whole.sample
            if len(row) == len(whole.header) and any(row[place] not in NULL_WORDS for place in own)
        ]
        return CsvHead(tuple(whole.header[place] for place in places), rows, whole.delimiter)

    def columns(self, first: bytes, delimiter: str) -> tuple[list[str], set[str]]:
        """Name the columns of a combined file: this table's and shared ones by their names, the others by position.

        Parameters
        ----------
        first : bytes
            The file's first bytes, which hold both header rows.

        Returns
        -------
        list of str
            The names of all columns.
        set of str
            Those that are this table's alone.
        """
        rows = csv.reader(io.StringIO(first.decode("utf-8-sig", "replace"), newline=""), delimiter=delimiter)
        labels, header = next(rows, []), next(rows, [])
        places = set(self._places(labels, header))
        names = [name if place in places else f"\x1f{place}" for place, name in enumerate(header)]
        own = {name for label, name in zip(labels, header, strict=False) if self._is_own(label, name)}
        return names, own

    def only_objects(self, table: pa.Table, own: Collection[str], shown: str) -> pa.Table:
        """Leave out the rows in which this table has no object: all of its own columns are empty there.

        Raises
        ------
        DataError
            An object has no number.
        """
        import pyarrow.compute as pc

        there = None
        for name in own:
            if name in table.column_names:
                values = table[name]
                filled = pc.not_equal(values, "") if str(values.type) == "string" else pc.is_valid(values)
                there = filled if there is None else pc.or_(there, filled)
                if pc.all(there).as_py():
                    break
        if there is not None:
            table = table.filter(there)
        if table[self.object_number].null_count:
            raise DataError(f"{shown}: an object of {self.table} has no {self.object_number}")
        return table

    def _places(self, labels: Sequence[str], header: Sequence[str]) -> list[int]:
        """Return the positions of this table's columns and of those it shares."""
        ours = (self.table.lower(), self.image.lower())
        labelled = list(zip(labels, header, strict=False))
        places = [place for place, (label, _) in enumerate(labelled) if label.lower() in ours]
        if all(header[place] != self.object_number for place in places):
            places += [place for place, (_, name) in enumerate(labelled) if name == self.object_number][:1]
        return sorted(places)

    def _is_own(self, label: str, name: str) -> bool:
        return label.lower() == self.table.lower() and name != self.object_number


def combined_table(table: str, preset: Preset) -> CombinedTable | None:
    """Return how a table lies within combined files; None if it has files of its own."""
    if preset.header_rows == 1 or table == preset.image:
        return None
    return CombinedTable(table, preset.image, preset.object_number_of(table_prefix(table)))
