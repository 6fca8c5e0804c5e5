"""Puts a platemap's columns beside the cells of each well, and counts wells without an entry."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import UsageError
from pycytominer_transform.common.join.planned_join import JoinedPart
from pycytominer_transform.common.join.platemap_entries import Platemap, PlatemapColumn, entry_label
from pycytominer_transform.common.model.conversion import BadValues, convert_values
from pycytominer_transform.common.model.naming import KEY_BEGINNINGS, find_name, listed, profile_order
from pycytominer_transform.common.model.roles import field_metadata

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.join.planned_join import PlannedJoin
    from pycytominer_transform.common.join.user_query import QueryJoin

_SEPARATOR = "\0"
"""Between the keys of a cell; a platemap holds no NUL."""


class PlatemapJoin:
    """Puts a platemap's columns beside the cells that another join gives.

    Parameters
    ----------
    inner : PlannedJoin or QueryJoin
        The other join.
    platemap : Platemap
        The wells and their columns.
    in_order : bool
        Put the columns into the order of profiles; else they come last.
    image_columns : collection of str
        The columns that ``--image-columns`` could add to the profiles.

    Raises
    ------
    UsageError
        The profiles lack a key, or have a column of the platemap already.
    """

    def __init__(
        self, inner: PlannedJoin | QueryJoin, platemap: Platemap, *, in_order: bool, image_columns: Collection[str] = ()
    ) -> None:
        self._inner, self._platemap = inner, platemap
        schema = inner.schema
        self._places = [_place(key.profiles, schema, image_columns) for key in platemap.keys]
        self._rows = {entry: row for row, entry in enumerate(platemap.entries)}
        self._columns = {column.name: _array(column) for column in platemap.columns}
        present = {name.lower() for name in schema.names}
        if clashing := [name for name in self._columns if name.lower() in present]:
            raise UsageError(
                f"the platemap's {listed(clashing)} would be a column that the profiles have already; rename it or "
                f"leave it out of the platemap, or match by it with --platemap-on {_keys_with(platemap, clashing)}"
            )
        names = [*schema.names, *self._columns]
        self._order = profile_order(names) if in_order else names
        self.schema = self._with_columns(schema.empty_table())[0].schema

    def join(self, tables: dict[str, pa.Table]) -> JoinedPart:
        """Join one part.

        The columns are null for cells without a well, and of wells without an entry. The counts have ``platemap``: the
        ``cells`` of each entry, the cells ``without_entry`` by well, the number of cells ``without_well``, and for a
        batch the cells ``without_map`` by plate.
        """
        joined = self._inner.join(tables)
        profiles, counts = self._with_columns(joined.profiles)
        return replace(joined, profiles=profiles, counts=joined.counts | {"platemap": counts})

    def _with_columns(self, profiles: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
        """Return the profiles with the platemap's columns, and the counts."""
        import pyarrow as pa

        codes, keys = self._keys_of(profiles)
        rows = pa.array([None if key is None else self._rows.get(key) for key in keys], type=pa.int64())
        row_of_cell = rows.take(codes)
        for name, values in self._columns.items():
            field = pa.field(name, values.type, metadata=field_metadata("metadata"))
            profiles = profiles.append_column(field, values.take(row_of_cell))
        return profiles.select(self._order), self._counted(codes, keys)

    def _keys_of(self, profiles: pa.Table) -> tuple[pa.Array, list[tuple[str, ...] | None]]:
        """Return for each cell the position of its key in the list of distinct keys; None stands for no well."""
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = []
        for place, key in zip(self._places, self._platemap.keys, strict=True):
            column = profiles.column(place)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            encoded = column.combine_chunks().dictionary_encode()
            texts = [_text(value) for value in encoded.dictionary.to_pylist()]
            normal = [None if text is None else key.normal(text) for text in texts]
            columns.append(pa.array(normal, type=pa.string()).take(encoded.indices))
        encoded = pc.binary_join_element_wise(*columns, _SEPARATOR).dictionary_encode(null_encoding="encode")
        keys = [None if text is None else tuple(text.split(_SEPARATOR)) for text in encoded.dictionary.to_pylist()]
        return encoded.indices, keys

    def _counted(self, codes: pa.Array, keys: list[tuple[str, ...] | None]) -> dict[str, Any]:
        import pyarrow.compute as pc

        cells, without_entry, without_map = Counter[str](), Counter[str](), Counter[str]()
        without_well = 0
        plates = self._platemap.plates
        for pair in pc.value_counts(codes).to_pylist():
            key, number = keys[pair["values"]], pair["counts"]
            if key is None:
                without_well += number
            elif plates and key[0] not in plates:
                without_map[key[0]] += number
            else:
                (cells if key in self._rows else without_entry)[entry_label(key)] += number
        counts = {"cells": dict(cells), "without_entry": dict(without_entry), "without_well": without_well}
        return counts | {"without_map": dict(without_map)} if plates else counts


def _keys_with(platemap: Platemap, more: Sequence[str]) -> str:
    keys = (key.column if key.column == key.profiles else f"{key.column}={key.profiles}" for key in platemap.keys)
    return shlex.quote(",".join([*keys, *(name.removeprefix("Metadata_") for name in more)]))


def _place(wanted: str, schema: pa.Schema, image_columns: Collection[str]) -> int:
    """Return the position of a key among the profiles' columns."""
    import pyarrow as pa

    name = find_name(wanted, schema.names, KEY_BEGINNINGS)
    if not name:
        if untaken := find_name(wanted, sorted(image_columns), KEY_BEGINNINGS):
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
    """Return a value of the profiles as a platemap writes it; None for no value."""
    if value is None or value != value or value == "":
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _array(column: PlatemapColumn) -> pa.Array:
    import pyarrow as pa

    if column.type == "string":
        return pa.array([text or None for text in column.texts], type=pa.string())
    return convert_values(column.texts, column.type, column.name, "platemap, row {row}", BadValues("fail"), 2)
