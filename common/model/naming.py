"""The names of tables and columns, and the order of the columns of profiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from pycytominer_transform.common.errors import DataError

DATASET = "Metadata_Dataset"
TABLE_NUMBER = "Metadata_TableNumber"
IMAGE_NUMBER = "Metadata_ImageNumber"
OBJECT_NUMBER = "Metadata_ObjectNumber"
CELL_ID = "Metadata_CellID"
PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"

KEY_BEGINNINGS = ("", "Metadata_", "Image_Metadata_")
"""Possible prefixes of the names of plates, wells and sites in profiles."""
WHOLE_NUMBER = "-?[0-9]{1,18}"
"""The form of a table number stored as text that is sorted as a number."""

# A01, a1, and IN Carta's A - 1.
_WELL = re.compile(r"\s*([A-Za-z]{1,2})[ -]*0*([0-9]{1,2})\s*")
_FIRST = (TABLE_NUMBER, IMAGE_NUMBER, OBJECT_NUMBER, CELL_ID)
_GROUPS = ("Image_", "Cytoplasm_", "Cells_", "Nuclei_")


def table_prefix(table: str) -> str:
    """Return a table's name with a capital, as its columns' names begin (``cells`` -> ``Cells``)."""
    return table[:1].upper() + table[1:]


def singular(table: str) -> str:
    """Return a compartment's name in the singular, as some pipelines write it (``nuclei`` -> ``nucleus``)."""
    return "nucleus" if table == "nuclei" else table.removesuffix("s")


def final_name(column: str, *, prefix: str, metadata_prefix: str, is_identifying: Callable[[str], bool]) -> str:
    """Return the name in profiles of a source column.

    Applying the rule to its own result changes nothing.

    Parameters
    ----------
    column : str
        The column's name in the source.
    prefix : str
        The table's name with a capital, ``Cells``.
    metadata_prefix : str
        The same of the table of image sets, ``Image``.
    is_identifying : callable
        Whether the preset counts a source column among the identifying ones.

    Source: the column names of pycytominer and CytoTable.
    """
    if column.startswith("Metadata_"):
        return column
    if is_identifying(column):
        if column.startswith(prefix) or any(
            word in column for word in (metadata_prefix, "ObjectNumber", "TableNumber")
        ):
            return f"Metadata_{column}"
        return f"Metadata_{prefix}_{column}"
    return column if column.startswith(prefix) else f"{prefix}_{column}"


def final_names(
    columns: Iterable[str], *, prefix: str, metadata_prefix: str, is_identifying: Callable[[str], bool]
) -> dict[str, str]:
    """Return the names in profiles of all columns of a table.

    Returns
    -------
    dict
        Source name to final name, in the order given.

    Raises
    ------
    DataError
        Two source columns would have one final name (``Area`` and ``Cells_Area`` of one table).
    """
    named: dict[str, str] = {}
    taken: dict[str, str] = {}
    for column in columns:
        final = final_name(column, prefix=prefix, metadata_prefix=metadata_prefix, is_identifying=is_identifying)
        if final in taken and taken[final] != column:
            raise DataError(
                f"table {prefix}: the columns {taken[final]!r} and {column!r} would both be named {final!r}; "
                "rename one of them in the source"
            )
        taken[final] = column
        named[column] = final
    return named


def profile_order(names: Iterable[str]) -> list[str]:
    """Return the columns of profiles in their order.

    Table, image and object number and cell ID, then all columns with ``Metadata`` in their names, then those of image,
    cytoplasm, cells and nuclei, then the rest; each group in the order given, which is the source's.
    """

    def group(name: str) -> int:
        if name in _FIRST:
            return _FIRST.index(name)
        if "Metadata" in name:
            return len(_FIRST)
        compartment = next((at for at, prefix in enumerate(_GROUPS) if name.startswith(prefix)), len(_GROUPS))
        return len(_FIRST) + 1 + compartment

    return sorted(names, key=group)


def well_name(text: str) -> str:
    """Return the normal form of a well, ``A01``; a text that is no well stays as it is."""
    well = _WELL.fullmatch(text)
    return f"{well[1].upper()}{int(well[2]):02d}" if well else text


def find_name(wanted: str, names: Sequence[str], beginnings: Sequence[str] = ("",)) -> str:
    """Return the name that equals a prefix and the wanted one, exactly or in any letter case; empty if none does."""
    for beginning in beginnings:
        if beginning + wanted in names:
            return beginning + wanted
        for name in names:
            if name.lower() == (beginning + wanted).lower():
                return name
    return ""


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return the first few names as one text for a message."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def quoted(name: str) -> str:
    """Quote a name for SQLite's and DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'
