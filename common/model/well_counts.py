"""Cells and sites per well: `pct-join --counts` counts them part by part, `pct-write` fills in the sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycytominer_transform.common.model.provenance import from_json, to_json
from pycytominer_transform.common.model.roles import field_metadata

if TYPE_CHECKING:
    import pyarrow as pa

WELLS = "wells"
"""Name of the counts in provenance: for each column of counts the number by well."""
WELL_IMAGES, IMAGES_WITHOUT_OBJECTS = "well_images", "well_images_without_objects"
"""Names of counts in provenance: by well, the image sets of the source, and those of them without any object."""
WELL_ROWS, WELL_UNMATCHED, WELL_WITHOUT = "well_rows", "well_unmatched", "well_without"
"""Names of counts in provenance, by table and well: objects, those not joined, rows of the anchor that lacked one."""
OBJECT_COUNT, SITE_COUNT = "Metadata_Object_Count", "Metadata_Site_Count"
_KEYS = b"pct.well_keys"


def count_field(name: str, keys: Sequence[str]) -> pa.Field:
    """Return a column of counts that is still to be filled, by the wells that the key columns name."""
    import pyarrow as pa

    return pa.field(name, pa.int64(), metadata=field_metadata("metadata") | {_KEYS: to_json(keys)})


def keys_of(field: pa.Field) -> list[str]:
    """Return the key columns of a column of counts that is still to be filled; none for another column."""
    return from_json((field.metadata or {}).get(_KEYS, b"[]"), list[str], f"the key of the column {field.name}")


def well_labels(rows: pa.Table | pa.RecordBatch, keys: Sequence[str]) -> pa.Array | pa.ChunkedArray:
    """Return each row's well as one text, another for each well of each plate; null where the last key has no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [rows.column(name).cast(pa.string()) for name in keys]
    well = pc.if_else(pc.equal(texts[-1], ""), None, texts[-1])
    escaped = [
        pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), "/", "\\/")
        for text in (*(pc.fill_null(text, "") for text in texts[:-1]), well)
    ]
    return pc.binary_join_element_wise(*escaped, "/")
