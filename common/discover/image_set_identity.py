"""Whether plate, well and site tell all image sets of a source apart, so that the IDs of cells are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pycytominer_transform.common.formats.source_layout import SourceLayout
from pycytominer_transform.common.model.conversion import number_of
from pycytominer_transform.common.model.manifest import Column, PathValues, TableSchema, held_as
from pycytominer_transform.common.model.naming import PLATE, SITE, WELL
from pycytominer_transform.common.model.preset import Preset


def identifying_columns(
    layout: SourceLayout, preset: Preset, tables: Sequence[TableSchema], path_columns: Sequence[Column],
    path_values: Mapping[str, PathValues],
) -> tuple[str, ...]:  # fmt: skip
    """Return the columns of plate, well and site; none if two image sets have the same, or one has none.

    They are those of the image table, or of the anchor in a preset without one.

    Parameters
    ----------
    path_columns, path_values
        The metadata from the paths of datasets, or set by the user; see `path_metadata`.
    """
    table = preset.image or preset.anchor_of([schema.table for schema in tables])
    image = next((schema.columns for schema in tables if schema.table == table), ())
    columns = {name: held_as(name, image) or held_as(name, path_columns) for name in (PLATE, WELL, SITE)}
    known = {name: column for name, column in columns.items() if column and column.type in ("string", "int64")}
    if len(known) < len(columns):
        return ()
    seen = set()
    for dataset in layout.datasets:
        if dataset not in layout.image_sets:
            return ()
        of_path = dict(path_values.get(dataset, ()))
        for image_set in layout.image_sets[dataset]:
            # Where the image table says nothing, the path's value stands in its column.
            texts = {name: image_set.get(column.source) or of_path.get(name, "") for name, column in known.items()}
            values = tuple(_value(texts[name], column) for name, column in known.items())
            if None in values or values in seen:
                return ()
            seen.add(values)
    return tuple(column.name for column in known.values())


def _value(text: str, column: Column) -> int | float | str | None:
    """Return a value as it is compared; None if there is none, or it does not fit the column."""
    if column.type == "string":
        return text or None
    try:
        return number_of(text, column.type)
    except ValueError:
        return None
