"""The report as a table with a row per well, Parquet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from pycytominer_transform.common.report.contents import Report, Well

if TYPE_CHECKING:
    import pyarrow as pa

_BY_NAME = (
    ("objects", "objects", "int64"),
    ("unmatched", "unmatched", "int64"),
    ("without", "without", "int64"),
    ("mean_areas", "mean_area", "float64"),
    ("robust_z", "robust_z", "float64"),
)
"""Fields of a well that are dictionaries: the beginning of their columns' names, and the type."""


def wells_table(report: Report) -> pa.Table:
    """Return one row per well, missing wells too.

    The columns are ``plate``, ``well``, ``row`` and ``column`` (from 1; null for a name that is no place),
    ``is_missing``, ``cells``, ``image_sets``, ``image_sets_read``, ``image_sets_without_objects``, ``sites_missing``
    and ``sites_doubled`` (numbers), ``nulls``, ``null_share``, ``control``, ``has_platemap_entry``, ``outlier_of`` (a
    list of measures), for each table of objects ``objects_TABLE``, ``unmatched_TABLE`` and ``without_TABLE``, for each
    compartment ``mean_area_COMPARTMENT``, for each measure ``robust_z_MEASURE``.
    """
    import pyarrow as pa

    wells: list[tuple[str, str, Well | None, tuple[int, int]]] = []
    for plate in report.plates:
        wells += [(plate.name, well.name, well, (well.row, well.column)) for well in plate.wells]
        wells += [
            (plate.name, name, None, place) for name, place in zip(plate.missing, plate.missing_places, strict=True)
        ]
    present = [well for _, _, well, _ in wells if well]
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "plate": ([plate for plate, _, _, _ in wells], pa.string()),
        "well": ([name for _, name, _, _ in wells], pa.string()),
        "row": ([row + 1 if row >= 0 else None for _, _, _, (row, _) in wells], pa.int64()),
        "column": ([column + 1 if column >= 0 else None for _, _, _, (_, column) in wells], pa.int64()),
        "is_missing": ([well is None for _, _, well, _ in wells], pa.bool_()),
    }

    def add(name: str, kind: pa.DataType, of_well: Callable[[Well], Any], missing: Any = None) -> None:
        columns[name] = ([missing if well is None else of_well(well) for _, _, well, _ in wells], kind)

    add("cells", pa.int64(), lambda well: well.cells, 0)
    add("image_sets", pa.int64(), lambda well: well.image_sets, 0)
    add("image_sets_read", pa.int64(), lambda well: well.image_sets_read)
    add("image_sets_without_objects", pa.int64(), lambda well: well.image_sets_without_objects)
    add("sites_missing", pa.int64(), lambda well: len(well.sites_missing))
    add("sites_doubled", pa.int64(), lambda well: len(well.sites_doubled))
    add("nulls", pa.int64(), lambda well: well.nulls)
    add("null_share", pa.float64(), lambda well: well.null_share)
    add("control", pa.string(), lambda well: well.control or None)
    add("has_platemap_entry", pa.bool_(), lambda well: well.has_platemap_entry)
    add("outlier_of", pa.list_(pa.string()), lambda well: list(well.outlier_of), [])
    for field, prefix, kind in _BY_NAME:
        for name in dict.fromkeys(name for well in present for name in getattr(well, field)):
            # Nothing lost is not recorded; nothing measured is not known.
            other = 0 if kind == "int64" else None
            values = [None if well is None else getattr(well, field).get(name, other) for _, _, well, _ in wells]
            columns[f"{prefix}_{name}"] = (values, getattr(pa, kind)())
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def write_wells(report: Report, sink: BinaryIO) -> None:
    """Write the table of wells as Parquet."""
    import pyarrow.parquet as pq

    pq.write_table(wells_table(report), sink)
