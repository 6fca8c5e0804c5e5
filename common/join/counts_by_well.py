"""Counts of objects by well: how many there were, how many were not joined, and what the others lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.join.relations import JoinPlan
from pycytominer_transform.common.model.naming import KEY_BEGINNINGS, find_name
from pycytominer_transform.common.model.well_counts import (
    IMAGES_WITHOUT_OBJECTS,
    WELL_IMAGES,
    WELL_ROWS,
    WELL_UNMATCHED,
    WELL_WITHOUT,
    well_labels,
)

if TYPE_CHECKING:
    import pyarrow as pa


def counts_by_well(
    plan: JoinPlan, tables: Mapping[str, pa.Table], rows: pa.Table, complete: pa.Table
) -> dict[str, Any]:
    """Count the objects of each well, by labels ``PLATE/WELL``; an object's well is that of its image set.

    Parameters
    ----------
    rows, complete : pyarrow.Table
        By table the numbers of the rows that belong together, a row for each object of the anchor: of all of them, and
        of those with all partners.

    Returns
    -------
    dict
        Empty if the tables of image sets name no wells.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    image = next((partner for partner in plan.partners if not partner.object_number), None)
    names = tables[image.table].column_names if image else []
    well, plate = (find_name(name, names, KEY_BEGINNINGS) for name in ("well", "plate"))
    if image is None or not well:
        return {}
    images = tables[image.table]
    if not plate:
        plate, images = "plate", images.append_column("plate", pa.nulls(images.num_rows, pa.string()))
    labels = well_labels(images, [plate, well])
    image_keys = _joined_keys(images, image.scope)
    without_objects = pc.is_valid(labels)
    counts: dict[str, Any] = {WELL_IMAGES: _by_value(labels), WELL_ROWS: {}, WELL_UNMATCHED: {}, WELL_WITHOUT: {}}
    label_of_row = {}
    for table in plan.joined:
        if table == image.table:
            continue
        image_of_row = pc.index_in(_joined_keys(tables[table], image.scope), value_set=image_keys)
        label_of_row[table] = labels.take(image_of_row)
        has_objects = pc.is_in(pa.arange(0, images.num_rows), value_set=image_of_row.unique().cast(pa.int64()))
        without_objects = pc.and_(without_objects, pc.invert(has_objects))
        counts[WELL_ROWS][table] = before = _by_value(label_of_row[table])
        joined = _by_value(label_of_row[table].take(complete[table].unique()))
        lost = {label: number - joined.get(label, 0) for label, number in before.items()}
        counts[WELL_UNMATCHED][table] = {label: number for label, number in lost.items() if number}
    for partner in plan.partners:
        lacking = rows[plan.anchor].filter(pc.is_null(rows[partner.table]))
        if partner is not image and len(lacking):
            counts[WELL_WITHOUT][partner.table] = _by_value(label_of_row[plan.anchor].take(lacking))
    counts[IMAGES_WITHOUT_OBJECTS] = _by_value(labels.filter(without_objects))
    return {name: numbers for name, numbers in counts.items() if numbers}


def _joined_keys(table: pa.Table, names: Sequence[str]) -> pa.Array:
    """Return the keys of each row as one text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.fill_null(table[name].combine_chunks().cast(pa.string()), "") for name in names]
    return pc.binary_join_element_wise(*texts, "\0")


def _by_value(labels: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    pairs = labels.value_counts().to_pylist()
    return {pair["values"]: pair["counts"] for pair in pairs if pair["values"] is not None}
