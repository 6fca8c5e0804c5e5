"""What the columns of an object list become: keys and annotations ``Metadata_...``, measurements ``Nuclei_...``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.samples import TableSample
from pycytominer_transform.common.model.column_types import SampledColumn
from pycytominer_transform.common.model.manifest import Column, TableSchema
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, OBJECT_NUMBER, PLATE, SITE, TABLE_NUMBER, WELL
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.model.roles import role_of

ROW, COLUMN = "Row", "Column"
FIELD = "Field"
OBJECT = "Object No"
IMAGE_SET = {
    ROW: "Metadata_Row",
    COLUMN: "Metadata_Column",
    "Plane": "Metadata_Plane",
    "Timepoint": "Metadata_Timepoint",
    FIELD: SITE,
}
"""The columns that tell image sets apart, in the order that they are sorted by, with their final names."""
WELL_SOURCE = f"{ROW}\t{COLUMN}"
"""The source of the well: no column of a file can have this name."""

_NUMBERS = IMAGE_SET | {OBJECT: OBJECT_NUMBER}
_PLACE = re.compile(r"[XYZ]|Bounding Box|(?:Absolute )?Position [XYZ](?: \[.*)?")
_PARENT = re.compile(r"Object No in .+")
_TAKEN = {name.lower() for name in (*_NUMBERS.values(), PLATE, WELL, DATASET, TABLE_NUMBER, CELL_ID)}


def final_name(column: str, population: str) -> str:
    """Return the final name of a column.

    Keys such as ``Row`` and annotations such as ``Compound`` begin with ``Metadata_``. The object's place begins with
    the population (``Nuclei_X``), and so do the measurements (``Nuclei - Intensity`` is ``Nuclei_Intensity``).
    """
    if column in _NUMBERS:
        return _NUMBERS[column]
    own = column.removeprefix(f"{population} - ")
    if _PARENT.fullmatch(own) and own != column:
        return f"Metadata_{population}_{own}"
    if own != column or _PLACE.fullmatch(column):
        return f"{population}_{own}"
    name = column if column.startswith("Metadata_") else f"Metadata_{column}"
    return name if name.lower() not in _TAKEN else f"Metadata_Annotation_{column}"


class ObjectListSample(TableSample):
    """The columns of one population over all files, and a sample of their values."""

    def __init__(self, table: str, population: str) -> None:
        super().__init__(table)
        self.population = population

    def add(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add one file; see `TableSample.add`. The type of an annotation is decided as that of other metadata."""
        for name in header:
            self.columns.setdefault(name, SampledColumn(final_name(name, self.population)))
        super().add(header, rows)

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the table's final column names and types; the well, made of row and column, comes first."""
        partial = self.partial_columns() if only_common else {}
        columns = [Column(WELL_SOURCE, WELL, "string", "metadata")]
        names: dict[str, str] = {}
        for source in (name for name in self.columns if name not in partial or name in _NUMBERS):
            final = final_name(source, self.population)
            if final in names:
                raise DataError(
                    f"table {self.table}: the columns {names[final]!r} and {source!r} would both be named {final!r}; "
                    "rename one of them in the source"
                )
            names[final] = source
            is_number = source in _NUMBERS or _PARENT.fullmatch(source.removeprefix(f"{self.population} - "))
            kind = "int64" if is_number else "string" if preset.is_text(source) else self.columns[source].decide()
            role = preset.role_of(final) or role_of(final, kind)
            columns.append(Column(source, final, kind, role, preset.unit_of(final)))
        return TableSchema(self.table, prefix, tuple(columns))


def well_of(row: int, column: int) -> str:
    """Return the name of a well by its row and column, both from 1: ``B03``, ``AF48``.

    Raises
    ------
    ValueError
        No plate has such a well.
    """
    if not (1 <= row <= 26 * 27 and 1 <= column <= 999):
        raise ValueError(f"row {row}, column {column}")
    letters = chr(64 + row) if row <= 26 else chr(64 + (row - 1) // 26) + chr(65 + (row - 1) % 26)
    return f"{letters}{column:02d}"
