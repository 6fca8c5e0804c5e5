"""Reading DeepProfiler's `.npz` files: one row per cell, its features, where it lies, and what is known of its image.

Source: https://cytomining.github.io/DeepProfiler-handbook (the member ``features``, the dictionary ``metadata``, the
centres of the cells, in pixels, as ``locations``).
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycytominer_transform.common.arrays import constant
from pycytominer_transform.common.column_types import ColumnType
from pycytominer_transform.common.conversion import BadValues, arrow_type, convert_stored
from pycytominer_transform.common.errors import DataError, SourceChangedError
from pycytominer_transform.common.manifest import Source, TableSchema
from pycytominer_transform.common.npz_file import NpyHeader, NpzFile, open_npz
from pycytominer_transform.common.npz_metadata import Value, read_metadata
from pycytominer_transform.common.place import Place

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "Metadata_NPZSource"
LOCATIONS = ("Location_Center_X", "Location_Center_Y")

_MOST_FEATURES = 1 << 17
_MODEL = "Metadata_Model"
_NO_MODEL = "DP"
_FLOATS: tuple[ColumnType, ...] = ("float32", "float64")
_ARROW_NAMES = {"f4": "float32", "f8": "float64"} | {
    f"{letter}{width}": f"{name}{8 * width}" for letter, name in (("i", "int"), ("u", "uint")) for width in (1, 2, 4, 8)
}


@dataclass(frozen=True)
class NpzContent:
    """What an `.npz` file holds, by its headers and its metadata.

    Attributes
    ----------
    rows : int
        Its cells.
    feature_names : list of str
        Named after the model: ``efficientnet_1`` and so on, ``DP_1`` where no model is named.
    locations : NpyHeader or None
        None where it does not say where its cells lie.
    """

    rows: int
    feature_names: list[str]
    features: NpyHeader
    locations: NpyHeader | None
    metadata: dict[str, Value]


def look_into(npz: NpzFile, name: str) -> NpzContent:
    """Read the headers of a file's arrays, and its metadata.

    Parameters
    ----------
    name : str
        What `SOURCE` says of the file.

    Raises
    ------
    DataError
        It is damaged, its arrays do not fit each other, or it could run code.
    """
    metadata: dict[str, Value] = {SOURCE: name}
    if "metadata" in npz:
        given = read_metadata(npz.pickled("metadata"), npz.shown)
        if SOURCE in given:
            raise DataError(f"{npz.shown}: its metadata has a key {SOURCE!r}, which is where the file's own name goes")
        metadata |= given
    features = _table_header(npz, "features")
    rows, width = features.shape if len(features.shape) == 2 else (0, 0)
    if width > _MOST_FEATURES:
        raise DataError(f"{npz.shown}: says it has {width} features a cell, more than {_MOST_FEATURES}")
    if rows and not width:
        raise DataError(f"{npz.shown}: says it has {rows} cells without any feature; it is damaged")
    locations = _table_header(npz, "locations") if "locations" in npz else None
    if locations is not None and locations.shape != (rows, 2) and (rows or locations.bytes):
        raise DataError(f"{npz.shown}: locations of shape {locations.shape} where there are {rows} cells")
    model = metadata.get(_MODEL)
    feature_names = [f"{_NO_MODEL if model in (None, '') else model}_{place}" for place in range(1, width + 1)]
    if taken := {*metadata, *LOCATIONS} & set(feature_names) or set(metadata) & set(LOCATIONS):
        raise DataError(f"{npz.shown}: two columns would be named {min(taken)!r}; one is from its metadata")
    return NpzContent(rows, feature_names, features, locations, metadata)


def read_npz(
    path: Place, shown: str, source: Source, schema: TableSchema, bad: BadValues, *, max_inflate: int
) -> pa.Table:
    """Read one file.

    Parameters
    ----------
    shown : str
        How messages and `SOURCE` call it: its path in the source, or its own name where it is the source.
    max_inflate : int
        Bytes that its members together may inflate to.
    bad : BadValues
        What to do with values that do not fit the types that the user asked for.

    Returns
    -------
    pyarrow.Table
        One row per row of ``features``, final column names; columns that the file lacks are null, and so is NaN.

    Raises
    ------
    DataError
        It is damaged, inflates to too much, or could run code.
    BadValueError
        A value does not fit its column; names row and column.
    SourceChangedError
        It has other rows than `pct-discover` found.
    """
    import pyarrow as pa

    types: dict[str, ColumnType] = {column.source: column.type for column in schema.columns}
    cast = {column.source for column in schema.columns if column.is_cast}
    where = f"{shown}, row {{row}}"
    with open_npz(path, shown, max_inflate=max_inflate) as npz:
        content = look_into(npz, shown)
        if content.rows != source.rows:
            raise SourceChangedError(
                f"{shown}: {content.rows} cells where pct-discover found {source.rows}; run it again"
            )
        arrays = {
            name: convert_stored([value] * content.rows, types[name], name, where, bad)
            if name in cast
            else _constant(value, content.rows, types[name])
            for name, value in content.metadata.items()
            if name in types
        }
        members = {"features": (content.features, content.feature_names)}
        if content.locations is not None and content.rows:
            members["locations"] = (content.locations, list(LOCATIONS))
        for member, (header, names) in members.items():
            arrays.update(_columns(npz, member, header, names, types))
            for name, values in _other_columns(npz, member, header, names, types):
                arrays[name] = convert_stored(values, types[name], name, where, bad)
    columns = [
        arrays[column.source] if column.source in arrays else pa.nulls(content.rows, arrow_type(column.type))
        for column in schema.columns
    ]
    return pa.table(columns, schema=pa.schema([(column.name, arrow_type(column.type)) for column in schema.columns]))


def _table_header(npz: NpzFile, name: str) -> NpyHeader:
    header = npz.header(name)
    if header.kind == "O":
        raise DataError(f"{npz.shown}: its member {name} is a pickled object, which is refused: it may run code")
    # An image without cells may have an array of no shape at all.
    if len(header.shape) != 2 and 0 not in header.shape:
        raise DataError(f"{npz.shown}: its member {name} has the shape {header.shape}, not one row per cell")
    return header


def _columns(
    npz: NpzFile, member: str, header: NpyHeader, names: list[str], types: dict[str, ColumnType]
) -> Iterator[tuple[str, pa.Array]]:
    """Give the columns of an array of numbers, those that are wanted as floats."""
    import pyarrow as pa

    wanted = {types[name] for name in names if name in types}
    for kind in wanted.intersection(_FLOATS):
        values, has_nan = _values(npz.data(member, header), header, kind)
        arrow = arrow_type(kind)
        rows, width = header.shape
        for place, name in enumerate(names):
            if types.get(name) == kind:
                column = values[place * rows : (place + 1) * rows] if header.columns_first else values[place::width]
                numbers = pa.Array.from_buffers(arrow, rows, [None, pa.py_buffer(column)])
                yield name, _without_nan(numbers) if has_nan else numbers


def _other_columns(
    npz: NpzFile, member: str, header: NpyHeader, names: list[str], types: dict[str, ColumnType]
) -> Iterator[tuple[str, list[float]]]:
    """Give the values of an array's columns that are wanted as anything else than floats."""
    import pyarrow as pa

    wanted = [place for place, name in enumerate(names) if name in types and types[name] not in _FLOATS]
    if not wanted:
        return
    numbers = _stored_numbers(npz.data(member, header), header)
    rows, width = header.shape
    for place in wanted:
        first, step = (place * rows, 1) if header.columns_first else (place, width)
        yield names[place], numbers.take(pa.arange(first, first + rows * step, step)).to_pylist()


def _values(stored: bytearray, header: NpyHeader, kind: ColumnType) -> tuple[array.array[float], bool]:
    """Give all numbers of an array in its own order, as 32- or 64-bit floats, and whether NaN is among them."""
    import pyarrow.compute as pc

    numbers = _stored_numbers(stored, header).cast(arrow_type(kind), safe=False)
    values = array.array("f" if kind == "float32" else "d")
    values.frombytes(numbers.buffers()[1])
    return values, pc.is_nan(numbers).true_count > 0


def _stored_numbers(stored: bytearray, header: NpyHeader) -> pa.Array:
    """Give all numbers of an array in its own order and of its own type."""
    import pyarrow as pa

    typed = pa.type_for_alias(_ARROW_NAMES[header.kind])
    width = typed.bit_width // 8
    if header.big_endian == (sys.byteorder == "little") and width > 1:
        swapped = array.array({2: "H", 4: "I", 8: "Q"}[width], bytes(stored))
        swapped.byteswap()
        stored = bytearray(swapped.tobytes())
    return pa.Array.from_buffers(typed, len(stored) // width, [None, pa.py_buffer(stored)])


def _without_nan(numbers: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    absent = pc.is_nan(numbers)
    return pc.if_else(absent, pa.nulls(1, numbers.type)[0], numbers) if absent.true_count else numbers


def _constant(value: Value, rows: int, kind: ColumnType) -> pa.Array:
    import pyarrow as pa

    if value is None or value != value:
        return pa.nulls(rows, arrow_type(kind))
    if kind == "string":
        return constant(value if isinstance(value, str) else repr(value), rows)
    if kind == "int64":
        return constant(int(value), rows)
    return pa.Array.from_buffers(
        pa.float64(), rows, [None, pa.py_buffer(array.array("d", [float(value)]) * rows)]
    ).cast(arrow_type(kind))
