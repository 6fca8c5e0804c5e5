"""Reading `.npz` files into Arrow tables: one row per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import SourceChangedError
from pycytominer_transform.common.formats.npz.archive import open_npz
from pycytominer_transform.common.formats.npz.content import read_content
from pycytominer_transform.common.formats.protocol import Reader
from pycytominer_transform.common.model.column_types import ColumnType
from pycytominer_transform.common.model.conversion import BadValues, convert_values, table_of
from pycytominer_transform.common.model.manifest import Manifest, Source
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class NpzReader(Reader):
    """Reads the `.npz` files of one manifest."""

    def __init__(self, manifest: Manifest, max_inflate: int) -> None:
        self._manifest = manifest
        self._max_inflate = max_inflate

    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one file; see `Reader.read`. NaN is null."""
        columns = self._manifest.schema_of(source.table).columns
        types = {column.source: column.type for column in columns}
        where = f"{shown}, row {{row}}"
        with open_npz(file, shown, max_inflate=self._max_inflate) as npz:
            content = read_content(npz, shown)
            if content.rows != source.rows:
                raise SourceChangedError(
                    f"{shown}: {content.rows} cells where pct-discover found {source.rows}; run it again"
                )
            arrays = {
                name: convert_values([value] * content.rows, types[name], name, where, bad)
                for name, value in content.metadata.items()
                if name in types
            }
            members: dict[str, Sequence[str]] = {"features": content.feature_names}
            if content.location_names:
                members["locations"] = content.location_names
            for member, names in members.items() if content.rows else ():
                values = npz.array(member)
                for place, name in enumerate(names):
                    if name in types:
                        arrays[name] = _column(values[:, place], types[name], name, where, bad)
        return table_of(columns, arrays, content.rows)


reader = NpzReader


def _column(values: np.ndarray[Any, Any], kind: ColumnType, name: str, where: str, bad: BadValues) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if kind not in ("float32", "float64"):
        return convert_values(values.tolist(), kind, name, where, bad)
    # In this machine's byte order, one value beside the other.
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=kind)
    return pa.array(numbers, mask=np.isnan(numbers))
