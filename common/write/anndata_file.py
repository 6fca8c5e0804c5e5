"""AnnData, as an ``.h5ad`` file or a ``.zarr`` store: features in ``X``, all other columns in ``obs``.

Every element is written by AnnData's own `write_elem`. ``X`` grows block by block; the other columns wait in a
temporary file, and are written one after the other when all rows are there, since only then it is known which texts
repeat and which whole numbers are missing. The layout: https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pycytominer_transform.common.errors import DataError, PctError
from pycytominer_transform.common.ipc.profiles import ProfilesReader
from pycytominer_transform.common.model.feature_names import FeatureName, parse_feature_names
from pycytominer_transform.common.model.naming import CELL_ID
from pycytominer_transform.common.model.provenance import Step, from_json, new_step, steps_to_json, to_json
from pycytominer_transform.common.model.roles import chosen_columns, role_of_field, with_roles
from pycytominer_transform.common.runtime.pandas_import import allow_pandas_import
from pycytominer_transform.common.runtime.signals import raise_if_interrupted
from pycytominer_transform.common.write.anndata_columns import (
    CHUNK_ROWS,
    WaitingColumns,
    growing_array,
    is_number,
    is_text,
    row_numbers,
    write_texts,
)
from pycytominer_transform.common.write.hdf5_file import hdf5_file
from pycytominer_transform.common.write.mantispy_schema import annotate_features, descriptors, object_identity
from pycytominer_transform.common.write.outputs import Description

if TYPE_CHECKING:
    import pyarrow as pa
    from pycytominer_transform.common.storage.destination import OutputFolder
    from pycytominer_transform.common.storage.location import Location

_CHUNK_BYTES = 4_000_000
_CHUNKS_AT_ONCE = 2
_PANEL_COLUMNS = 64
_ROOT_GROUPS = ("layers", "obs", "obsm", "obsp", "uns", "var", "varm", "varp")
_LAST_FILE = ".zgroup"
"""Without it in its root, a Zarr store is none."""
_CENTRES = (re.compile(r"(?:(.*)_)?(?:Location|AreaShape)_Center_X"), re.compile(r"(.+)_X"))
"""Names of the x of an object's centre: CellProfiler's, else Harmony's."""


def is_own_entry(name: str) -> bool:
    """Return whether an entry of a Zarr store, or an object under its prefix, is one that `write_folder` writes."""
    group, slash, _ = name.partition("/")
    return group in ("X", *_ROOT_GROUPS) if slash else name in (_LAST_FILE, ".zattrs", ".zmetadata")


def write_file(reader: ProfilesReader, sink: BinaryIO, settings: dict[str, Any]) -> int:
    """Write all profiles into one ``.h5ad`` file and return the number of rows."""
    allow_pandas_import()
    with hdf5_file(Path(sink.name)) as (root, file):
        return _write(reader, root, settings, file.raise_error)


def write_folder(reader: ProfilesReader, folder: OutputFolder, settings: dict[str, Any]) -> int:
    """Write all profiles into one ``.zarr`` store and return the number of rows."""
    allow_pandas_import()
    import zarr
    from pycytominer_transform.common.write.zarr_store import zarr_store

    with folder.tree(last=_LAST_FILE) as path, zarr_store(path) as store:
        rows = _write(reader, zarr.open_group(store, mode="a", zarr_format=2), settings, lambda: None)
        zarr.consolidate_metadata(store, zarr_format=2)
    return rows


def description(output: Location) -> Description | None:
    """Return the figures and the provenance of an output of this machine; None if it is not one of ours."""
    allow_pandas_import()
    import h5py
    import zarr
    from anndata.io import read_elem

    with suppress(OSError, KeyError, ValueError, PctError), ExitStack() as stack:
        if output.is_dir():
            root = zarr.open_group(str(output), mode="r")
        else:
            root = stack.enter_context(h5py.File(str(output), "r"))
        texts, names = read_elem(root["uns/pct"]), cast(Any, root["obs/_index"])
        columns = from_json(texts["columns"], list[dict[str, str]], "the list of columns")
        return Description(texts["provenance"].encode(), names.shape[0], len(columns))
    return None


def _write(reader: ProfilesReader, root: Any, settings: dict[str, Any], raise_error: Callable[[], None]) -> int:
    """Write all profiles into the root group of a file or a store, and return the number of rows."""
    with warnings.catch_warnings(), ExitStack() as stack:
        # Libraries warn of their own next versions, which is no news for those who run this.
        warnings.simplefilter("ignore")
        schema = with_roles(chosen_columns(reader.schema, settings["only"], settings["drop"]), reader.schema)
        writer = _Writer(root, schema, settings, stack)
        for batch, _ in reader.batches():
            writer.add(batch)
            raise_error()
        writer.close(reader)
    return writer.rows


class _Writer:
    """Writes record batches into the root group of a file or a store; see `write_file`."""

    def __init__(self, root: Any, schema: pa.Schema, settings: dict[str, Any], stack: ExitStack) -> None:
        import numpy as np
        import pyarrow as pa

        self.rows = 0
        self._root = root
        self._schema = schema
        self._settings = settings
        self._features = [field.name for field in schema if role_of_field(field) == "feature" and is_number(field)]
        features = set(self._features)
        self._others = pa.schema([field for field in schema if field.name not in features])
        _check_names(self._others)
        self._waiting = WaitingColumns(self._others, stack)
        row_bytes = max(len(self._features) * np.dtype(settings["x_dtype"]).itemsize, 1)
        self._chunk_rows = min(max(_CHUNK_BYTES // row_bytes, 1), CHUNK_ROWS)
        self._block = np.empty((self._chunk_rows * _CHUNKS_AT_ONCE, len(self._features)), settings["x_dtype"])
        self._filled = 0
        self._matrix: Any = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows, and write the blocks of ``X`` that are complete."""
        self._waiting.add(batch.select(self._others.names))
        features = batch.select(self._features)
        start = 0
        while start < batch.num_rows:
            raise_if_interrupted()
            rows = min(batch.num_rows - start, len(self._block) - self._filled)
            self._fill(features.slice(start, rows))
            start += rows
            if self._filled == len(self._block):
                self._write_block()

    def close(self, reader: ProfilesReader) -> None:
        """Write the remaining rows and all elements but ``X``."""
        from anndata.io import write_elem

        self._write_block()
        self._waiting.close()
        identity = self._object_identity(reader.steps)
        self._write_obs(identity)
        self._write_var()
        if centre := _centre(self._others):
            write_elem(self._root, "obsm", {"spatial": self._waiting.matrix(centre)})
        step = new_step("pct-write", self._settings, {"rows": self.rows})
        columns = [{"name": field.name, "role": role_of_field(field)} for field in self._schema]
        texts = {
            "provenance": steps_to_json([*reader.steps, step]), "columns": to_json(columns), "preset": reader.preset,
            "experiment": reader.experiment,
        }  # fmt: skip
        is_mantispy = identity and self._features and self._block.dtype == "float32"
        write_elem(self._root, "uns", {"pct": texts} | ({"mantispy": descriptors()} if is_mantispy else {}))
        for group in _ROOT_GROUPS:
            if group not in self._root:
                write_elem(self._root, group, {})
        self._root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})

    def _fill(self, rows: pa.RecordBatch) -> None:
        """Add features to the block; NaN where one is null.

        Raises
        ------
        DataError
            A number is too large for the type.
        """
        import numpy as np
        import pyarrow as pa

        block = self._block[self._filled : self._filled + rows.num_rows]
        # Some columns at a time lie side by side before they are turned into rows: the processor's cache holds them.
        panel = np.empty((_PANEL_COLUMNS, rows.num_rows), block.dtype)
        columns = rows.columns
        for first in range(0, len(columns), _PANEL_COLUMNS):
            some = columns[first : first + _PANEL_COLUMNS]
            for place, column in enumerate(some):
                numbers = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
                with np.errstate(over="raise"):
                    try:
                        panel[place] = numbers.to_numpy(zero_copy_only=False)
                    except FloatingPointError:
                        name = self._features[first + place]
                        raise DataError(f"{name}: a number is too large for float32; give --x-dtype float64") from None
            block[:, first : first + len(some)] = panel[: len(some)].T
        self._filled += rows.num_rows

    def _write_block(self) -> None:
        if self._features and self._matrix is None:
            # The chunk of a small file is no larger than the file.
            self._matrix = growing_array(self._root, "X", self._block[:0], min(self._chunk_rows, max(self._filled, 1)))
        if self._features and self._filled:
            self._matrix.resize((self.rows + self._filled, len(self._features)))
            self._matrix[self.rows :] = self._block[: self._filled]
        self.rows += self._filled
        self._filled = 0

    def _has_cell_ids(self) -> bool:
        """Return whether every row has the ID of a cell."""
        names = self._others.names
        return CELL_ID in names and not self._waiting.nulls[CELL_ID] and is_text(self._others.field(CELL_ID))

    def _object_identity(self, steps: Sequence[Step]) -> dict[str, Any]:
        """Return mantispy's columns of `obs`; empty where the rows have no IDs to make them of."""
        if not self._has_cell_ids():
            return {}
        return object_identity(self._waiting.chunks(CELL_ID), steps, self.rows)

    def _write_obs(self, identity: dict[str, Any]) -> None:
        from anndata.io import write_elem

        obs = self._root.create_group("obs")
        for field in self._others:
            raise_if_interrupted()
            column = self._waiting.values(field)
            if column is None:
                write_texts(obs, field.name, self._waiting.texts(field.name), self.rows)
            else:
                write_elem(obs, field.name, column)
        added = {name: column for name, column in identity.items() if name not in self._others.names}
        for name, column in added.items():
            write_elem(obs, name, column)
        if self._settings["obs_names"] == "cell" and self._has_cell_ids():
            names = self._waiting.texts(CELL_ID)
        else:
            names = row_numbers(self.rows)
        write_texts(obs, "_index", names, self.rows)
        obs.attrs.update({
            "_index": "_index", "column-order": [*self._others.names, *added],
            "encoding-type": "dataframe", "encoding-version": "0.2.0",
        })  # fmt: skip

    def _write_var(self) -> None:
        import pandas as pd
        from anndata.io import write_elem

        parsed = parse_feature_names(self._features)
        var = pd.DataFrame(parsed, index=pd.Index(self._features, dtype=object), columns=list(FeatureName._fields))
        write_elem(self._root, "var", annotate_features(var.replace("", None).astype("category"), parsed))


def _check_names(schema: pa.Schema) -> None:
    """Refuse columns whose names AnnData cannot store.

    Raises
    ------
    DataError
        There is one.
    """
    for name in schema.names:
        if name in ("", ".", "..", "_index") or any(letter in name for letter in "/\\\0"):
            raise DataError(f"AnnData has no form for a column named {name!r}; rename it, or leave it out")


def _centre(schema: pa.Schema) -> tuple[str, str] | None:
    """Return the columns of the centre of the nuclei, else of the first compartment that has one."""
    places = {field.name for field in schema if is_number(field) and role_of_field(field) == "location"}
    found = (
        [
            (match[1] or "", match[0]) for name in schema.names
            if (match := pattern.fullmatch(name)) and {match[0], f"{match[0][:-1]}Y"} <= places
        ]
        for pattern in _CENTRES
    )  # fmt: skip
    centres = next(filter(None, found), [])
    if not centres:
        return None
    compartment = "Nuclei" if any(one == "Nuclei" for one, _ in centres) else centres[0][0]
    # Location before AreaShape, which CellProfiler measures of the same outline.
    x = max(name for one, name in centres if one == compartment)
    return x, f"{x[:-1]}Y"
