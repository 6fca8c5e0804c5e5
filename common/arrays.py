"""Arrow arrays made without Python values.

`pyarrow.array` and `pyarrow.scalar` import pandas where it is installed, to see whether they were given any. That
takes longer than most of what a stage does, so the paths that every run takes make their arrays with these.
"""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def row_numbers(count: int) -> pa.Array:
    """Give the numbers from 0 to below `count`, int64."""
    import pyarrow as pa

    return pa.arange(0, count)


def constant(value: str | float, count: int) -> pa.Array:
    """Give an array of one value, `count` times: string, int64 or float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    zeros = pc.subtract(row_numbers(count), row_numbers(count))
    if isinstance(value, int):
        return pa.arange(value, value + 1).take(zeros)
    if isinstance(value, float):
        return pa.Array.from_buffers(pa.float64(), count, [None, pa.py_buffer(array("d", [value]) * count)])
    builder = pa.lib.StringBuilder()
    builder.append(value)
    return builder.finish().take(zeros)


def repeated(values: Sequence[str | int | float | None], counts: Sequence[int], kind: pa.DataType) -> pa.Array:
    """Give an array of values, each as many times as its count says, cast to a type."""
    import pyarrow as pa

    different = list(dict.fromkeys(values))
    each = [pa.nulls(1, kind) if value is None else constant(value, 1).cast(kind) for value in different]
    place_of = {value: place for place, value in enumerate(different)}
    places = array("q")
    for value, count in zip(values, counts, strict=True):
        places.extend(array("q", [place_of[value]]) * count)
    indices = pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
    return pa.concat_arrays(each).take(indices) if each else pa.nulls(0, kind)


def empty_table(schema: pa.Schema) -> pa.Table:
    """Give a table of no rows."""
    import pyarrow as pa

    return pa.Table.from_batches([empty_batch(schema)], schema=schema)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Give a batch of no rows."""
    import pyarrow as pa

    types = schema.types
    # One of a type does for all of its columns, and there are thousands.
    nothing = {kind: pa.nulls(0, kind) for kind in dict.fromkeys(types)}
    return pa.RecordBatch.from_arrays([nothing[kind] for kind in types], schema=schema)


def table_from_rows(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of dictionaries of JSON values, one row each."""
    import pyarrow as pa
    import pyarrow.json

    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if not lines:
        return empty_table(schema)
    # Read as one block: a row longer than a block would be an error.
    options = pa.json.ReadOptions(block_size=max(len(lines) + 1, 1 << 16), use_threads=False)
    parse = pa.json.ParseOptions(explicit_schema=schema.remove_metadata())
    table = pa.json.read_json(io.BytesIO(lines), read_options=options, parse_options=parse)
    return table.replace_schema_metadata(schema.metadata)
