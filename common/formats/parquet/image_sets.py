"""Where the rows of each image set lie in a Parquet file, found once by the columns that number them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.formats.image_sets import ImageSet, ImageSetRows, Run, joined_as, with_keys
from pycytominer_transform.common.formats.parquet.columns import converted, stored_kind
from pycytominer_transform.common.formats.parquet.files import ParquetTable
from pycytominer_transform.common.model.conversion import BadValues
from pycytominer_transform.common.model.manifest import Column
from pycytominer_transform.common.model.naming import IMAGE_NUMBER, TABLE_NUMBER
from pycytominer_transform.common.model.preset import Preset

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_BATCH_ROWS = 1 << 17
_MOST_RUNS = 1 << 20
"""Runs of rows of one image set; a table with more is not sorted by them."""


def find_image_sets(
    file: ParquetTable, table: str, columns: Sequence[str], preset: Preset, *, may_cut: bool
) -> ImageSetRows:
    """Find the rows of each image set of a table once, so that reading a part skips the other rows.

    Parameters
    ----------
    may_cut : bool
        Whether the rows of each row group are as one image set, where there is no column that numbers images; else
        all rows are.

    Raises
    ------
    BadDatasetError
        The rows are in no order.
    """
    number = column_of(preset.table_number, columns)
    image = column_of(preset.image_number, columns)
    named = {name if name != number else preset.table_number: "" for name in columns}
    rows_of: dict[ImageSet, int] = defaultdict(int)
    runs_of: dict[ImageSet, list[Run]] = defaultdict(list)
    runs = _runs(file, number, image) if image else _row_groups(file, may_cut=may_cut)
    for total, (image_set, first, last) in enumerate(runs):
        if total == _MOST_RUNS:
            keys = ", ".join(f'"{name}"' for name in (number, image) if name)
            raise BadDatasetError(
                f"{file.shown}: its rows are not sorted by image set, whose rows lie in more than {_MOST_RUNS} places; "
                f"sort them, such as with DuckDB: COPY (FROM '{file.shown}' ORDER BY {keys}) TO 'sorted.parquet'"
            )
        found = runs_of[image_set]
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
        rows_of[image_set] += last + 1 - first
    return with_keys(ImageSetRows(table, named, rows_of, runs_of), joined_as)


def column_of(wanted: str, columns: Sequence[str]) -> str:
    """Return the column of a name, with or without ``Metadata_``, in any letter case; empty if there is none."""
    names = {name.lower(): name for name in reversed(columns)}
    return names.get(wanted.lower()) or names.get(f"metadata_{wanted}".lower(), "") if wanted else ""


def _row_groups(file: ParquetTable, *, may_cut: bool) -> list[tuple[ImageSet, int, int]]:
    starts = file.row_group_starts
    ends = pairwise(starts if may_cut else (0, starts[-1]))
    return [((None, at), first, end - 1) for at, (first, end) in enumerate(ends) if end > first]


def _runs(file: ParquetTable, number: str, image: str) -> Any:
    """Yield the runs of rows of one image set in a row: its key, the first and the last row, from 0."""
    import numpy as np

    first_row = 0
    names = [name for name in (number, image) if name]
    for batch in file.batches(names, _BATCH_ROWS):
        if not batch.num_rows:
            continue
        numbers = _keys(batch, number, TABLE_NUMBER, file.shown, first_row) if number else None
        images = _keys(batch, image, IMAGE_NUMBER, file.shown, first_row)
        changes = _changes(images) if numbers is None else _changes(images) | _changes(numbers)
        starts = np.flatnonzero(np.concatenate([[True], changes])).tolist()
        own = images.take(starts).to_pylist()
        others = numbers.take(starts).to_pylist() if numbers is not None else [None] * len(own)
        for table_number, image_number, (start, end) in zip(
            others, own, pairwise([*starts, batch.num_rows]), strict=True
        ):
            yield (table_number, image_number), first_row + start, first_row + end - 1
        first_row += batch.num_rows


def _keys(batch: pa.RecordBatch, name: str, final: str, shown: str, first_row: int) -> pa.Array:
    """Return the numbers of images, or those of tables, which may be texts; what is none is refused when it is read."""
    values = batch.column(name)
    kind = stored_kind(values.type)
    if kind is None:
        raise BadDatasetError(f"{shown}: the column {name!r} holds lists or the like, and no numbers")
    is_text = final == TABLE_NUMBER and kind == "string"
    column = Column(name, final, "string" if is_text else "int64", "identifier")
    return converted(values, column, shown, first_row + 1, BadValues("null"))


def _changes(values: pa.Array) -> np.ndarray[Any, Any]:
    """Return for each value but the first whether it differs from the one before."""
    encoded = values.dictionary_encode(null_encoding="encode").indices.to_numpy()
    changes: np.ndarray[Any, Any] = encoded[1:] != encoded[:-1]
    return changes
