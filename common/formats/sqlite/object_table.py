"""ExportToDatabase's ``Per_Object``: all compartments side by side in one table.

CellProfiler puts objects of the same number into one row, which says nothing of which belong together: the columns of
each compartment are read as a table of its own. Its objects are the rows with a ``Cells_Number_Object_Number``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pycytominer_transform.common.model.preset import Preset


def compartments_in(columns: Iterable[str], preset: Preset) -> dict[str, str]:
    """Return the compartments whose objects a table's columns number: lower-case name to the name as it is written."""
    end = preset.object_number_of("")
    names = [_bare(column).removesuffix(end) for column in columns if _bare(column).endswith(end)]
    averages = tuple(f"{name}_{average}_" for name in names for average in ("Mean", "Median", "StDev"))
    return {name.lower(): name for name in names if name and not name.startswith(averages)}


def columns_in(columns: Mapping[str, str], table: str, preset: Preset) -> dict[str, str]:
    """Return the columns, with their declared types, of one compartment, and those that number images."""
    return {column: columns[column] for column, owner in _owners(columns, preset).items() if owner in (table, "*")}


def columns_of_none(columns: Iterable[str], preset: Preset) -> list[str]:
    """List the columns that neither belong to a compartment nor number images or the table's rows."""
    return [name for name, owner in _owners([*columns], preset).items() if not owner and name != "ObjectNumber"]


def _owners(columns: Collection[str], preset: Preset) -> dict[str, str]:
    """Return, for each column, the compartment that it belongs to; ``*`` for all, empty for none."""
    names = compartments_in(columns, preset).values()
    keys = [key.lower() for key in (preset.image_number, preset.table_number) if key]

    def owner(column: str) -> str:
        if column.lower() in keys:
            return "*"
        return max((name for name in names if column.startswith(f"{name}_")), key=len, default="").lower()

    return {column: owner(_bare(column)) for column in columns}


def number_in(columns: Iterable[str], table: str, preset: Preset) -> str:
    """Return the column that numbers the objects of a compartment."""
    number = preset.object_number_of(table).lower()
    return next(column for column in columns if _bare(column).lower() == number)


def _bare(column: str) -> str:
    return column.removeprefix("Metadata_")
