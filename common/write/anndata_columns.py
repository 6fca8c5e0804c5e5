"""The columns beside ``X``: they wait in a temporary file, then each becomes an element of AnnData on its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from pycytominer_transform.common.errors import DataError
from pycytominer_transform.common.storage.destination import storage_errors

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CHUNK_ROWS = 4_096
"""The largest number of rows of a chunk."""
_ROWS_TOGETHER = 1_024
"""Rows that are written to the temporary file at once; their batches stay in memory until then."""


class WaitingColumns:
    """Columns in a temporary file until all rows are there; each is read on its own.

    Attributes
    ----------
    nulls : dict
        The number of nulls of each column.
    """

    def __init__(self, schema: pa.Schema, stack: ExitStack) -> None:
        import pyarrow as pa

        self._schema = pa.schema([pa.field(field.name, stored_type(field)) for field in schema])
        self._place = f"a temporary file in {tempfile.gettempdir()} (TMPDIR)"
        self._file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile(prefix="pct-write-"))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        sink = pa.PythonFile(self._file, "w")
        self._writer = stack.enter_context(pa.ipc.new_file(sink, self._schema, options=options))
        self._rows = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self.nulls = dict.fromkeys(schema.names, 0)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows; those of many small batches are written together."""
        self._rows += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self.nulls[name] += column.null_count
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        if self._pending_rows >= _ROWS_TOGETHER:
            self._write_pending()

    def _write_pending(self) -> None:
        import pyarrow as pa

        if self._pending:
            with storage_errors(self._place):
                self._writer.write_table(pa.Table.from_batches(self._pending).cast(self._schema).combine_chunks())
        self._pending, self._pending_rows = [], 0

    def close(self) -> None:
        """End the file, to read it."""
        self._write_pending()
        with storage_errors(self._place):
            self._writer.close()
            self._file.flush()

    def chunks(self, name: str) -> Iterator[pa.Array]:
        """Yield a column, some rows at a time."""
        import pyarrow as pa

        yield pa.array([], self._schema.field(name).type)
        options = pa.ipc.IpcReadOptions(included_fields=[self._schema.get_field_index(name)])
        self._file.seek(0)
        with pa.ipc.open_file(pa.PythonFile(self._file, "r"), options=options) as file:
            for place in range(file.num_record_batches):
                yield file.get_batch(place).column(0)

    def texts(self, name: str) -> Iterator[np.ndarray[Any, Any]]:
        """Yield a column of texts without nulls, some at a time."""
        return (chunk.to_numpy(zero_copy_only=False) for chunk in self.chunks(name))

    def matrix(self, names: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return columns of numbers side by side."""
        import numpy as np

        return np.column_stack([self.values(self._schema.field(name)).astype("float64") for name in names])

    def values(self, field: pa.Field) -> Any:
        """Return a column as AnnData stores it: categories, or numbers with a mask where whole ones are missing.

        None stands for texts that hardly repeat, to be written as they are: more than half of them are different, and
        none is null.
        """
        import numpy as np
        import pandas as pd
        import pyarrow as pa

        if is_text(field):
            return self._categories(field.name)
        chunks = list(self.chunks(field.name))
        if pa.types.is_floating(chunks[0].type) or not self.nulls[field.name]:
            return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
        mask = np.concatenate([chunk.is_null().to_numpy(zero_copy_only=False) for chunk in chunks])
        nothing = pa.scalar(0).cast(chunks[0].type)
        filled = np.concatenate([chunk.fill_null(nothing).to_numpy(zero_copy_only=False) for chunk in chunks])
        kind = pd.arrays.BooleanArray if pa.types.is_boolean(field.type) else pd.arrays.IntegerArray
        return kind(filled, mask)

    def _categories(self, name: str) -> Any:
        import numpy as np
        import pandas as pd

        codes: dict[str, int] = {}
        parts = []
        for chunk in self.chunks(name):
            encoded = chunk.dictionary_encode()
            known = [codes.setdefault(text, len(codes)) for text in encoded.dictionary.to_pylist()]
            if 2 * len(codes) > self._rows and not self.nulls[name]:
                return None
            # A null takes the last place.
            places = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
            parts.append(np.array([*known, -1], np.int32)[places])
        ordered = sorted(codes)
        final = np.empty(len(codes) + 1, np.int32)
        final[[codes[text] for text in ordered]] = np.arange(len(ordered))
        final[-1] = -1
        return pd.Categorical.from_codes(final[np.concatenate(parts)], np.array(ordered, dtype=object))


def growing_array(group: Any, name: str, empty: np.ndarray[Any, Any], chunk_rows: int) -> Any:
    """Write an array without rows that can be resized, and return it."""
    import h5py
    from anndata.io import write_elem

    settings: dict[str, Any] = {"chunks": (chunk_rows, *empty.shape[1:])}
    if isinstance(group, h5py.Group):
        settings["maxshape"] = (None, *empty.shape[1:])
    write_elem(group, name, empty, dataset_kwargs=settings)
    return group[name]


def write_texts(group: Any, name: str, texts: Iterator[np.ndarray[Any, Any]], rows: int) -> None:
    """Write texts without nulls, some at a time."""
    import numpy as np

    array = growing_array(group, name, np.empty(0, dtype=object), min(CHUNK_ROWS, max(rows, 1)))
    array.resize((rows,))
    start = 0
    for some in texts:
        array[start : start + len(some)] = some
        start += len(some)


def row_numbers(rows: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the numbers of all rows as texts, some at a time."""
    import numpy as np

    for start in range(0, rows, CHUNK_ROWS):
        yield np.array([str(row) for row in range(start, min(start + CHUNK_ROWS, rows))], dtype=object)


def is_number(field: pa.Field) -> bool:
    """Return whether a column holds numbers."""
    import pyarrow as pa

    kind = field.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_text(field: pa.Field) -> bool:
    """Return whether a column is stored as text."""
    import pyarrow as pa

    return bool(stored_type(field) == pa.large_string())


def stored_type(field: pa.Field) -> pa.DataType:
    """Return the type in which a column waits: numbers as they are, all else as text.

    Raises
    ------
    DataError
        It has no form as text.
    """
    import pyarrow as pa

    kind = field.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return kind
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"AnnData has no form for the column {field.name} ({kind}); leave that column out")
    return pa.large_string()
