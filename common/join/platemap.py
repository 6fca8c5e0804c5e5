"""Putting a platemap's columns beside the cells of each well, and counting what has no counterpart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.join.planned_join import JoinedPart, PlannedJoin
from pycytominer_transform.common.join.platemap_file import Platemap, PlatemapColumn, entry_label
from pycytominer_transform.common.join.platemap_sheets import find_name
from pycytominer_transform.common.model.conversion import BadValues, convert_values
from pycytominer_transform.common.model.naming import listed, profile_order

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.join.user_query import QueryJoin
    from pycytominer_transform.common.model.manifest import Manifest

BEGINNINGS = ("", "Metadata_", "Image_Metadata_")
"""What may stand before a key's name in the profiles."""


class PlatemapJoin:
    """Puts a platemap's columns beside the cells that another join gives."""

    def __init__(self, inner: PlannedJoin | QueryJoin, platemap: Platemap, manifest: Manifest) -> None:
        self._inner = inner
        is_planned = isinstance(inner, PlannedJoin)
        image = [schema for schema in manifest.tables if schema.table == manifest.preset.image and is_planned]
        image_columns = {column.name for schema in image for column in schema.columns}
        self._lookup = PlatemapLookup(platemap, inner.schema, in_order=is_planned, image_columns=image_columns)
        self.schema = self._lookup.added_to(inner.schema.empty_table())[0].schema

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        """Join one part."""
        joined = self._inner.join(tables)
        profiles, counts = self._lookup.added_to(joined.profiles)
        return replace(joined, profiles=profiles, counts=joined.counts | {"platemap": counts})


class PlatemapLookup:
    """Finds the platemap's entry for every cell.

    Parameters
    ----------
    platemap : Platemap
        What to put beside the cells.
    schema : pyarrow.Schema
        Of the profiles without it.
    in_order : bool
        Whether to put the columns into the order of profiles; else they come last.
    image_columns : collection of str
        Columns that the profiles would have if they were asked for.

    Raises
    ------
    UsageError
        The profiles lack a key, or have a column of the platemap already.
    """

    def __init__(
        self, platemap: Platemap, schema: pa.Schema, *, in_order: bool, image_columns: Collection[str] = ()
    ) -> None:
        self._platemap = platemap
        self._places = [_place(key.profiles, schema, image_columns) for key in platemap.keys]
        self._rows = {entry: row for row, entry in enumerate(platemap.entries)}
        self._columns = {column.name: _array(column) for column in platemap.columns}
        present = {name.lower() for name in schema.names}
        if clashing := [name for name in self._columns if name.lower() in present]:
            raise UsageError(
                f"the platemap's {listed(clashing)} would be a column that the profiles have already; rename it or "
                "leave it out of the platemap, or make it a key with --platemap-on"
            )
        names = [*schema.names, *self._columns]
        self._order = profile_order(names) if in_order else names

    def added_to(self, profiles: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
        """Put the platemap's columns beside the cells; null where a cell's well is null or without an entry.

        Returns
        -------
        pyarrow.Table
            The same rows.
        dict
            ``cells`` of each entry that has any, cells ``without_entry`` of each well that has none, how many cells are
            ``without_well``, and with a batch's platemaps the cells ``without_map`` of each plate that has none.
        """
        import pyarrow as pa

        codes, keys = self._coded(profiles)
        rows = pa.array([None if key is None else self._rows.get(key) for key in keys], type=pa.int64())
        found = rows.take(codes)
        for name, values in self._columns.items():
            profiles = profiles.append_column(pa.field(name, values.type), values.take(found))
        return profiles.select(self._order), self._counted(codes, keys)

    def _coded(self, profiles: pa.Table) -> tuple[pa.Array, list[tuple[str, ...] | None]]:
        """Give for each cell the number of its key, and the distinct keys in that order; None where a well is null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        combined, distinct = pa.nulls(profiles.num_rows, pa.int64()).fill_null(0), [list[Any]()]
        for place, key in zip(self._places, self._platemap.keys, strict=True):
            column = profiles.column(place)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
            texts = [_text(value) for value in encoded.dictionary.to_pylist()]
            scaled = pc.multiply(combined, max(len(texts), 1))
            again = pc.add(scaled, encoded.indices.cast(pa.int64())).dictionary_encode()
            combined = again.indices.cast(pa.int64())
            pairs = [divmod(number, max(len(texts), 1)) for number in again.dictionary.to_pylist()]
            named = [None if text is None else key.same(text) for text in texts]
            distinct = [[*distinct[before], named[own]] for before, own in pairs]
        return combined, [None if None in key else tuple(key) for key in distinct]

    def _counted(self, codes: pa.Array, keys: list[tuple[str, ...] | None]) -> dict[str, Any]:
        import pyarrow.compute as pc

        cells: dict[str, int] = {}
        without_entry: dict[str, int] = {}
        without_map: dict[str, int] = {}
        without_well = 0
        plates = self._platemap.plates
        for pair in pc.value_counts(codes).to_pylist():
            key, number = keys[pair["values"]], pair["counts"]
            if key is None:
                without_well += number
            elif plates and key[0] not in plates:
                without_map[key[0]] = without_map.get(key[0], 0) + number
            else:
                counted = cells if key in self._rows else without_entry
                counted[entry_label(key)] = counted.get(entry_label(key), 0) + number
        counts = {"cells": cells, "without_entry": without_entry, "without_well": without_well}
        return counts | {"without_map": without_map} if plates else counts


def _place(wanted: str, schema: pa.Schema, image_columns: Collection[str]) -> int:
    """Find a key among the profiles' columns."""
    import pyarrow as pa

    name = find_name(wanted, schema.names, BEGINNINGS)
    if not name:
        if untaken := find_name(wanted, sorted(image_columns), BEGINNINGS):
            raise UsageError(
                f"the profiles lack {untaken} to match the platemap by; give --image-columns '^{untaken}$'"
            )
        metadata = [name for name in schema.names if "Metadata" in name] or schema.names
        raise UsageError(
            f"the profiles have no column {wanted!r} to match the platemap by; they have {listed(metadata, 20)}; say "
            "which it is with --platemap-on PLATEMAP_COLUMN=PROFILES_COLUMN"
        )
    if pa.types.is_nested(schema.field(name).type):
        raise UsageError(f"the profiles' {name} is of type {schema.field(name).type}, which a platemap cannot match")
    return int(schema.names.index(name))


def _text(value: Any) -> str | None:
    """Write a value of the profiles as a platemap would have it; None where there is none."""
    if value is None or value != value or value == "":
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _array(column: PlatemapColumn) -> pa.Array:
    import pyarrow as pa

    if column.type == "string":
        return pa.array([text or None for text in column.texts], type=pa.string())
    return convert_values(column.texts, column.type, column.name, "platemap, row {row}", BadValues("fail"), 2)
