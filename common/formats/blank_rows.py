"""Rows that are no object: those without any value are dropped, those with values but without a number refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def only_objects(
    table: pa.Table, keys: Sequence[str], shared: Collection[str], where: Callable[[int], str]
) -> pa.Table:
    """Return the rows of a table that are an object, or an image set: those with a value.

    Parameters
    ----------
    keys : sequence of str
        The columns that number images and objects.
    shared : collection of str
        Columns that say nothing of whether there is an object.
    where : callable
        Names a row in messages, by its place in the table.

    Raises
    ------
    DataError
        A row holds values, but not the number of its image or object.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(table[key].null_count for key in keys):
        return table
    filled = pa.array([False] * table.num_rows)
    for name in table.column_names:
        if name not in shared:
            values = table[name]
            is_text = pa.types.is_string(values.type)
            filled = pc.or_(filled, pc.fill_null(pc.not_equal(values, ""), False) if is_text else pc.is_valid(values))
    for key in keys:
        place = pc.index(pc.and_(filled, pc.is_null(table[key])), pa.scalar(True)).as_py()
        if place >= 0:
            raise DataError(
                f"{where(place)}: has no {key.removeprefix('Metadata_')}, but other values; complete the row"
            )
    return table.filter(filled)
