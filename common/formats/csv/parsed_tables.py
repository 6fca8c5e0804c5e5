"""What is mended in a table after Arrow has parsed a CSV file: blank rows, copies of columns, decimal commas.

Columns are named as in the source. A row is counted as in the file, of which `first_row` is the first of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.csv.head import DECIMAL_COMMA, differing_copies
from pycytominer_transform.common.model.conversion import BadValues

if TYPE_CHECKING:
    import pyarrow as pa


def lacks_keys(table: pa.Table, keys: Sequence[str]) -> bool:
    """Return whether there may be rows without a number; where nothing is numbered, whether rows may be blank."""
    counts = [table[name].null_count for name in keys or table.column_names]
    return any(counts) if keys else all(counts)


def without_blank_rows(table: pa.Table, keys: Sequence[str], shown: str, first_row: int, bad: BadValues) -> pa.Table:
    """Drop and count rows of delimiters alone, as spreadsheets leave them at a table's end.

    Parameters
    ----------
    keys : sequence of str
        The columns that number images and objects.
    shown : str
        The file's name in messages.

    Raises
    ------
    DataError
        A row holds values, but not the number of its image or object.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not lacks_keys(table, keys):
        return table
    filled = pa.array([False] * table.num_rows)
    for values in table.columns:
        is_text = pa.types.is_string(values.type)
        filled = pc.or_(filled, pc.fill_null(pc.not_equal(values, ""), False) if is_text else pc.is_valid(values))
    for key in keys:
        row = pc.index(pc.and_(filled, pc.is_null(table[key])), pa.scalar(True)).as_py()
        if row >= 0:
            raise DataError(f"{shown}, row {row + first_row}: has no {key}, but other values; complete the row")
    kept = table.filter(filled)
    bad.blank_rows += table.num_rows - kept.num_rows
    return kept


def with_empty_as_null(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Replace empty texts by null in some columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in columns:
        texts = table[name]
        filled = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
        table = table.set_column(table.column_names.index(name), name, filled)
    return table


def without_copies(table: pa.Table, copies: Mapping[str, str], shown: str, first_row: int) -> pa.Table:
    """Drop columns that equal others of their name in the header.

    Parameters
    ----------
    copies : mapping
        The other column by the name that was given to a copy.

    Raises
    ------
    DataError
        They differ.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for copy, name in copies.items():
        one, other = table[name], table[copy]
        both_null = pc.and_(pc.is_null(one), pc.is_null(other))
        row = pc.index(pc.or_(pc.fill_null(pc.equal(one, other), False), both_null), pa.scalar(False)).as_py()
        if row >= 0:
            values = (column[row].as_py() for column in (one, other))
            raise DataError(differing_copies(shown, row + first_row, name, *values))
    return table.drop_columns([*copies]) if copies else table


def with_decimal_points(texts: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Write numbers with points if any has a comma, and none a point."""
    import pyarrow.compute as pc

    if any(pc.any(pc.match_substring_regex(texts[name], r"^\s*[-+]?[0-9]*\.[0-9]")).as_py() for name in columns):
        return texts
    for name in columns:
        pointed = pc.replace_substring_regex(texts[name], rf"^(\s*){DECIMAL_COMMA}(\s*)$", r"\1\2.\3\4")
        texts = texts.set_column(texts.column_names.index(name), name, pointed)
    return texts
