"""Refusing rows with the same cell ID: a query of the user's own may repeat cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, IMAGE_NUMBER, OBJECT_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 5
"""Columns in a message in which the rows differ."""


def refuse_repeated_ids(profiles: pa.Table) -> None:
    """Refuse profiles of one part in which two rows have the same cell ID.

    Raises
    ------
    DataError
        There are such rows; the message shows both.
    """
    import pyarrow.compute as pc

    if CELL_ID not in profiles.column_names:
        return
    ids = profiles[CELL_ID]
    if pc.count_distinct(ids, mode="only_valid").as_py() == len(ids) - ids.null_count:
        return
    repeated = next(
        each["values"] for each in ids.value_counts().to_pylist() if each["counts"] > 1 and each["values"] is not None
    )
    first, second = profiles.filter(pc.equal(ids, repeated)).slice(0, 2).to_pylist()
    differing = [name for name in first if first[name] != second[name]][:_SHOWN]
    keys = [name for name in (DATASET, IMAGE_NUMBER, OBJECT_NUMBER) if name in first and name not in differing]
    raise DataError(
        f"two rows have the {CELL_ID} {repeated}: {_shown(first, [*keys, *differing])}; and "
        f"{_shown(second, [*keys, *differing])}; with --sql select one row of each cell, or leave {CELL_ID} out"
    )


def _shown(row: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)
