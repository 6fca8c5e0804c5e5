"""The ID of a cell: a text that no other row of the source has, however the source is cut, sharded or ordered.

``PLATE:WELL:SITE:OBJECT`` where plate, well and site tell the image sets apart, else ``DATASET:IMAGE:OBJECT``.
docs/cell-id.md says more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.model.manifest import Manifest, TableSchema
from pycytominer_transform.common.model.naming import DATASET, TABLE_NUMBER
from pycytominer_transform.common.model.parents import image_number, object_number

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATOR = ":"


@dataclass(frozen=True)
class CellIds:
    """Makes the IDs of the anchor's objects.

    Attributes
    ----------
    anchor : str
        The table whose objects are the cells.
    image : str
        The table whose plate, well and site go into the IDs: that of image sets, or the anchor; empty if none do.
    image_sets : tuple of str
        The columns that tell image sets apart, of the anchor and of the image table.
    number : str
        The anchor's column that numbers its objects; empty where they are numbered by their place in the file.
    wells : tuple of str
        That table's columns of plate, well and site.
    """

    anchor: str
    image: str
    image_sets: tuple[str, ...]
    number: str
    wells: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> CellIds:
        """Return what makes the IDs for a manifest."""
        anchor = manifest.schema_of(manifest.anchor)
        image_sets = _image_set_columns(manifest, anchor)
        image = manifest.preset.image or anchor.table
        images = [schema for schema in manifest.tables if schema.table == image]
        by_well = bool(manifest.cell_id_columns) and any(_image_set_columns(manifest, s) == image_sets for s in images)
        return cls(
            anchor=anchor.table,
            image=image if by_well else "",
            image_sets=image_sets,
            number=object_number(manifest.preset, anchor),
            wells=manifest.cell_id_columns,
        )

    def of_objects(self, objects: pa.Table, tables: Mapping[str, pa.Table]) -> pa.Array:
        """Return the IDs of the anchor's objects in one part.

        Parameters
        ----------
        objects : pyarrow.Table
            The anchor's rows; those of one file stand together.
        tables : mapping
            The other tables of the part by name.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        by_own_wells = self.image == self.anchor
        image_sets = _joined(objects, self.wells if by_own_wells else self.image_sets, null="").dictionary_encode()
        names = image_sets.dictionary.to_pylist()
        if self.image and not by_own_wells:
            images = tables[self.image]
            wells = _joined(images, self.wells, null=None).to_pylist()
            well_of = dict(zip(_joined(images, self.image_sets, null="").to_pylist(), wells, strict=True))
            names = [well_of.get(name) or name for name in names]
        numbers = _texts(objects[self.number]) if self.number else _places(image_sets)
        return pc.binary_join_element_wise(pa.array(names, pa.string()).take(image_sets.indices), numbers, _SEPARATOR)


def _image_set_columns(manifest: Manifest, schema: TableSchema) -> tuple[str, ...]:
    """Return the columns that tell a table's image sets apart: the dataset, and the source's own numbers."""
    number = image_number(manifest.preset, schema) if manifest.preset.image_number else ""
    there = {column.name for column in schema.columns}
    numbers = [number] if number else [name for name in manifest.preset.image_set if name in there]
    return (DATASET, *([TABLE_NUMBER] if schema.has_table_number else []), *numbers)


def _joined(table: pa.Table, columns: Sequence[str], *, null: str | None) -> pa.Array:
    """Return the values of some columns as one text for each row; with `null` None, null where one of them is."""
    import pyarrow.compute as pc

    texts = (_texts(table[name]) for name in columns)
    handling = "emit_null" if null is None else "replace"
    return pc.binary_join_element_wise(*texts, _SEPARATOR, null_handling=handling, null_replacement=null or "")


def _texts(values: pa.ChunkedArray) -> pa.Array:
    """Return values as texts without the separator, so that no two rows have the same text by chance."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = values.combine_chunks()
    if not pa.types.is_string(whole.type):
        return whole.cast(pa.string())
    encoded = whole.dictionary_encode()
    marked = pc.replace_substring(encoded.dictionary, "%", "%25")
    return pc.replace_substring(marked, _SEPARATOR, "%3A").take(encoded.indices)


def _places(image_sets: pa.DictionaryArray) -> pa.Array:
    """Return the place of each row, from 1, among those of its image set."""
    import numpy as np
    import pyarrow as pa

    codes = image_sets.indices.to_numpy()
    counts = np.bincount(codes)
    places = np.empty(len(codes), np.int64)
    # Rows of an image set need not follow each other.
    places[np.argsort(codes, kind="stable")] = np.arange(1, len(codes) + 1) - np.repeat(
        counts.cumsum() - counts, counts
    )
    return pa.array(places).cast(pa.string())
