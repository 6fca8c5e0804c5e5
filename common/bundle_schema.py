"""The Arrow schema of a bundle's tables; apart from the readers, which `pct-join` has no use for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pycytominer_transform.common.conversion import arrow_type
from pycytominer_transform.common.manifest import Column, Manifest, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def bundle_schema(manifest: Manifest, schema: TableSchema) -> pa.Schema:
    """Give the Arrow schema of a table in a bundle: final names and types, and the columns that the tools add."""
    return _arrow_schema((*schema.columns, *manifest.own_columns(schema)))


@lru_cache(16)
def _arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])
