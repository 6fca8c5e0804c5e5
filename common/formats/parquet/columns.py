"""What the columns of Parquet files become: their types and roles, and their values, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.formats.samples import TableSample
from pycytominer_transform.common.model.column_types import (
    ColumnType,
    names_count,
    names_measurement,
    names_text,
    names_whole_number,
)
from pycytominer_transform.common.model.conversion import BadValues, arrow_type, changed_metadata, convert_values
from pycytominer_transform.common.model.manifest import Column, TableSchema
from pycytominer_transform.common.model.naming import CELL_ID, DATASET, TABLE_NUMBER
from pycytominer_transform.common.model.preset import Preset
from pycytominer_transform.common.model.roles import Role, said_role, unit_of_field

if TYPE_CHECKING:
    import pyarrow as pa

StoredKind = Literal["int64", "float64", "string", "bool", "null"]
_ORIGINAL = "Metadata_Original_"
_MOST_EXACT = 1 << 53
"""Fractions of 64 bits tell whole numbers up to this apart: IEEE 754."""


def stored_kind(kind: pa.DataType) -> StoredKind | None:
    """Return what a column's stored values are, ``null`` where it has none; None for lists and the like."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return stored_kind(kind.value_type)
    if types.is_decimal(kind):
        return "int64" if kind.scale == 0 and kind.precision < 19 else "float64"
    if types.is_null(kind):
        return "null"
    if types.is_boolean(kind):
        return "bool"
    if types.is_integer(kind) or types.is_floating(kind):
        return "int64" if types.is_integer(kind) else "float64"
    is_text = types.is_temporal(kind) or _is_text(kind) or types.is_fixed_size_binary(kind)
    return "string" if is_text else None


class ParquetSample(TableSample):
    """The columns of one table over all files: their stored types and the roles that the files say.

    Parameters
    ----------
    keeps_ids : bool
        Whether the files' IDs of cells are those of the output: of several datasets they need not differ.
    """

    def __init__(self, table: str, *, keeps_ids: bool) -> None:
        super().__init__(table)
        self._keeps_ids = keeps_ids
        self._kinds: dict[str, set[StoredKind]] = {}
        self._roles: dict[str, Role] = {}
        self._units: dict[str, str] = {}

    def keeps_ids_of(self, columns: Sequence[str]) -> bool:
        """Return whether the IDs of cells in a file are those of the output."""
        return self._keeps_ids and CELL_ID.lower() in map(str.lower, columns)

    def add_file(self, schema: pa.Schema, rows: Sequence[Sequence[object]]) -> None:
        """Add a file: the columns that are read, and some of its rows."""
        self.add(schema.names, rows)
        for field in schema:
            kind = stored_kind(field.type)
            self._kinds.setdefault(field.name, set()).update([kind] if kind else [])
            if role := said_role(field):
                self._roles.setdefault(field.name, role)
            self._units.setdefault(field.name, unit_of_field(field))

    def schema(self, prefix: str, preset: Preset, compartments: Sequence[str], *, only_common: bool) -> TableSchema:
        """Decide the table's final column names and types; see `TableSample.schema`."""
        for name, kinds in self._kinds.items():
            self.fixed[name] = self._type_of(name, kinds - {"null"})
        return super().schema(prefix, preset, compartments, only_common=only_common)

    def final_names(
        self, columns: Sequence[str], prefix: str, preset: Preset, compartments: Sequence[str]
    ) -> dict[str, str]:
        """Return the final names of columns; what the tools added before is kept under another name."""
        named = super().final_names(columns, prefix, preset, compartments)
        added = (DATASET,) if self._keeps_ids else (DATASET, CELL_ID)
        for source in [source for source, name in named.items() if name.lower() in map(str.lower, added)]:
            name = _ORIGINAL + named[source].removeprefix("Metadata_")
            while name in named.values():
                name = _ORIGINAL + name.removeprefix("Metadata_")
            named[source] = name
        return named

    def role_of(self, column: str, name: str, kind: ColumnType, *, is_of_image: bool) -> Role:
        """Return the role that a file says, else that of the name and the type."""
        return self._roles.get(column) or super().role_of(column, name, kind, is_of_image=is_of_image)

    def unit_of(self, column: str, name: str, preset: Preset) -> str:
        """Return the unit that the preset or the name says, else that of the files."""
        return super().unit_of(column, name, preset) or self._units[column]

    def _type_of(self, name: str, kinds: set[StoredKind]) -> ColumnType:
        """Return the type of a column: what is stored decides, but for numbers of images, objects and measurements."""
        if not kinds:
            return self.columns[name].decide()
        if name.lower() in (TABLE_NUMBER.lower(), "tablenumber"):
            return "string" if "string" in kinds else "int64"
        if names_measurement(name) and not names_whole_number(name):
            return "float64"
        if names_whole_number(name) and (kinds != {"int64"}):
            return "float64" if names_count(name) and not self.columns[name].whole else "int64"
        if "string" in kinds or names_text(name):
            return "string"
        if kinds == {"bool"}:
            return "bool"
        return "float64" if "float64" in kinds else "int64"


def converted(values: pa.Array, column: Column, shown: str, first_row: int, bad: BadValues) -> pa.Array:
    """Return stored values in a column's type, NaN as null.

    Parameters
    ----------
    shown : str
        The file's name in messages.
    first_row : int
        The number of the first value's row in the file, from 1.

    Raises
    ------
    BadValueError
        A value does not fit the type.
    DataError
        One would not be the same in it.
    """
    import pyarrow as pa

    kind = arrow_type(column.type)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind)
    plain = _plain(values, column, shown, first_row)
    if _may_cast(plain.type, kind):
        try:
            if column.type == "float32":
                plain = plain.cast(pa.float64())  # Rounding is what the user asks for.
            # Of fractions only the last digits may be lost, of whole numbers nothing.
            return plain.cast(kind, safe=column.type == "int64" or not _is_fraction(plain.type))
        except pa.ArrowInvalid:
            _refuse_rounded(plain, column, shown, first_row)
    return convert_values(plain.to_pylist(), column.type, column.source, f"{shown}, row {{row}}", bad, first_row)


def _plain(values: pa.Array, column: Column, shown: str, first_row: int) -> pa.Array:
    """Return values as truths, whole numbers, decimals, fractions of 64 bits without NaN, or texts."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if types.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
        if column.type == "int64" or column.name == TABLE_NUMBER:
            _check_exact(values, column, shown, first_row)
        # Tables are joined on it, and another may hold it as a text.
        return values.cast(pa.int64()) if column.name == TABLE_NUMBER else values
    is_number = types.is_integer(values.type) or types.is_boolean(values.type)
    if is_number or (types.is_decimal(values.type) and column.type != "string"):
        return values
    return _as_text(values, column, shown, first_row)


def _may_cast(stored: pa.DataType, kind: pa.DataType) -> bool:
    """Return whether Arrow's cast does as is done value by value."""
    from pyarrow import types

    if types.is_string(stored) or types.is_boolean(kind):
        return bool(stored == kind)
    return not types.is_string(kind) or bool(types.is_integer(stored))


def _is_fraction(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_floating(kind) or types.is_decimal(kind))


def _as_text(values: pa.Array, column: Column, shown: str, first_row: int) -> pa.Array:
    """Return texts, bytes, dates and times as texts of UTF-8."""
    import pyarrow as pa

    try:
        texts = values.cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{shown}, rows {first_row} to {first_row + len(values) - 1}, column {column.source!r}: holds bytes that "
            "are not UTF-8 text; correct them, or leave the column out of the file"
        ) from error
    return texts


def _check_exact(values: pa.Array, column: Column, shown: str, first_row: int) -> None:
    """Refuse whole numbers that are stored as fractions and so large that two of them may have become one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index(pc.greater_equal(pc.abs(values), float(_MOST_EXACT)), pa.scalar(True)).as_py()
    if place >= 0:
        raise DataError(
            f"{shown}, row {first_row + place}, column {column.source!r}: {values[place].as_py():.0f} is beyond 2**53, "
            "and stored as a fraction, which may have rounded it; store the column as whole numbers"
        )


def _refuse_rounded(values: pa.Array, column: Column, shown: str, first_row: int) -> None:
    """Refuse whole numbers that a fraction would round."""
    from pyarrow import types

    if types.is_integer(values.type) and column.type in ("float64", "float32"):
        for row, value in enumerate(values.to_pylist(), start=first_row):
            if value is not None and abs(value) > _MOST_EXACT:
                raise changed_metadata(str(value), column.source, f"{shown}, row {row}")


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(
        is_kind(kind)
        for is_kind in (
            types.is_string, types.is_large_string, types.is_string_view,
            types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary,
        )
    )  # fmt: skip
